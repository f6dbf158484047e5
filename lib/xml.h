/*
 * xml: a pull scanner for what services answer in XML 1.0 (fifth edition): UTF-8, elements, text, CDATA.
 *
 *	struct xml x;
 *	xml_init(&x, body);
 *	if (xml_next(&x) != XML_OPEN || !str_is(x.name, "Result")) ...
 *	while (xml_next(&x) == XML_OPEN) {
 *		if (str_is(x.name, "Key"))
 *			good = xml_text(&x, &key);
 *		else
 *			good = xml_skip(&x);
 *	}
 *
 * Refused: a document type (so no entity but the five of the language, and nothing that expands), nesting
 * past XML_DEPTH, anything not well-formed. Attributes, comments and processing instructions are checked for
 * their form and passed over; a name's prefix ("s3:Key") is left out. Text comes decoded, CR LF as LF.
 */
#ifndef EVPIPE_XML_H
#define EVPIPE_XML_H

#include "buf.h"

#define XML_DEPTH 32

enum xml_event {
	XML_BAD,   /* x->why says what; so does every later call */
	XML_OPEN,  /* <name ...>; of <name/> too, a XML_CLOSE follows */
	XML_TEXT,  /* x->run: one run of characters, maybe white space only */
	XML_CLOSE, /* </name> */
	XML_END,   /* behind the root element */
};

struct xml {
	struct str in;      /* borrowed */
	size_t at;
	struct str name;    /* of XML_OPEN and XML_CLOSE; borrowed from the text */
	struct str run;     /* of XML_TEXT; borrowed until the next call */
	unsigned depth;     /* elements open */
	char why[128];      /* after XML_BAD: the cause, with its byte offset */
	struct str open[XML_DEPTH]; /* private: names with their prefixes */
	struct buf decoded; /* private */
	bool empty;         /* private: the element just opened ends at once */
	bool bad, rooted;   /* private */
};

void xml_init(struct xml *x, struct str text);
enum xml_event xml_next(struct xml *x);
/* As xml_next, but white space between elements is passed over. */
enum xml_event xml_next_element(struct xml *x);
/*
 * After XML_OPEN: the element's whole text, appended to out, and its end. False where it holds an element,
 * out is full, or the text is bad: then x is bad.
 */
bool xml_text(struct xml *x, struct buf *out);
/* After XML_OPEN: to the element's end, whatever it holds. */
bool xml_skip(struct xml *x);
void xml_release(struct xml *x);

#endif
