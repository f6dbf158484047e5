/* profile: AWS's files, as somebody's editor left them. What comes out of them goes into headers and URLs. */
#include "awsprofile.h"
#include "fuzz.h"
#include "log.h"

static void
look(const char *text)
{
	if (text != NULL)
		MUST(*text != '\0' && strpbrk(text, "\r\n\t\033") == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct awsprofile profile = {0};
	struct err e = {0};
	struct str text = {(const char *)p, n};
	const char *path = fuzz_file(text);
	log_set(LOG_ERROR, false);
	for (int i = 0; i < 2; i++) {
		const char *name = i == 0 ? "default" : "a b";
		int rc = awsprofile_load(&profile, name, i == 0 ? path : NULL, path, &e);
		MUST(rc == 0 || e.class == ERR_CONFIG || e.class == ERR_IO);
		if (rc == 0) {
			const char *const texts[] = {profile.id, profile.secret, profile.token, profile.region, profile.endpoint,
			    profile.other};
			for (size_t k = 0; k < sizeof(texts) / sizeof(*texts); k++)
				look(texts[k]);
		}
		awsprofile_release(&profile);
	}
	return 0;
}
