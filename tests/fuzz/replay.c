/* replay: runs a fuzz target over files, and over the files of folders, without libFuzzer. */
#include <dirent.h>
#include <sys/stat.h>

#include "bounds.h"
#include "fuzz.h"
#include "io.h"
#include "xalloc.h"

static unsigned files;

static void
run_file(const char *path)
{
	struct buf text = BUF_INIT(LIMIT_LINE);
	struct err e;
	if (io_read_file(path, LIMIT_LINE, &text, &e) < 0) {
		fprintf(stderr, "%s\n", e.text);
		exit(66);
	}
	/* Memory of its own, to the byte, so that one byte too far is found. The last file named is the one that failed. */
	uint8_t *copy = xmalloc(text.n > 0 ? text.n : 1);
	if (text.n > 0)
		memcpy(copy, text.p, text.n);
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(copy, text.n);
	free(copy);
	buf_release(&text);
	files++;
}

static int
is_visible(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static void
run(const char *path)
{
	struct dirent **list = NULL;
	struct stat st;
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
		run_file(path);
		return;
	}
	int n = scandir(path, &list, is_visible, alphasort);
	for (int i = 0; i < n; i++) {
		char *inside = xasprintf("%s/%s", path, list[i]->d_name);
		run_file(inside);
		free(inside);
		free(list[i]);
	}
	free(list);
}

int
main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		run(argv[i]);
	printf("%u inputs\n", files);
	return files == 0;
}
