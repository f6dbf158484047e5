# evpipe. Targets: all check lint bench soak fuzz (T=NAME SECONDS=600) install dist deb clean
# Knobs: V=1 (show commands)  SAN=address,undefined  DEV=1 (warnings are errors)  CC=clang  PREFIX  DESTDIR  B (build folder)
VERSION := 0.1.0
PREFIX  ?= /usr/local
BINDIR  ?= $(PREFIX)/bin
DATADIR ?= $(PREFIX)/share/evpipe
MANDIR  ?= $(PREFIX)/share/man
DOCDIR  ?= $(PREFIX)/share/doc/evpipe
LIBEXEC ?= $(PREFIX)/libexec/evpipe
UNITDIR ?= $(PREFIX)/lib/systemd/system
CONFDIR ?= /etc/evpipe
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR  ?= $(PREFIX)/share/zsh/site-functions
CFLAGS  ?= -O2 -g
B       ?= build$(if $(SAN),-san)

override CPPFLAGS += -D_GNU_SOURCE -iquote lib -MMD -MP -DEVPIPE_VERSION='"$(VERSION)"' -DEVPIPE_DATADIR='"$(DATADIR)"'
override CFLAGS   += -std=c11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
                     -Wpointer-arith -Wwrite-strings -Wvla -Wno-missing-field-initializers -fno-common
ifdef DEV
override CFLAGS   += -Werror
endif
# Hardened by default; tests/cmd/hardening.bats looks at the tools. Sanitizers do their own checking, and without
# optimization there are no checked copies.
override CFLAGS   += -fPIE -fstack-protector-strong -fstack-clash-protection
ifneq ($(filter x86_64% i686%,$(shell $(CC) -dumpmachine)),)
override CFLAGS   += -fcf-protection
endif
ifeq ($(SAN)$(filter -O0,$(CFLAGS)),)
override CPPFLAGS += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
endif
override LDFLAGS  += -pie -Wl,-z,relro,-z,now,-z,noexecstack
ifdef SAN
override CFLAGS   += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
override LDFLAGS  += -fsanitize=$(SAN)
endif
# Each tool links only what it calls: ev-validate comes out without network or crypto libraries.
override LDFLAGS  += -Wl,--as-needed
LDLIBS            += -lyajl -lz -lzstd -lcurl -lcrypto -lm

CMDS    := $(patsubst cmd/%.c,%,$(wildcard cmd/*.c))
DIRS    := $(patsubst cmd/%/main.c,%,$(wildcard cmd/*/main.c))
UNITS   := $(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/t-*.c))
LIB     := $(B)/evpipe.a
OBJ     := $(patsubst lib/%.c,$(B)/lib/%.o,$(wildcard lib/*.c))
MAN     := $(wildcard man/*.[157])

Q       := $(if $(V),,@)
say      = $(if $(V),,@printf '  %-3s %s\n' $(1) $@;)

all: $(CMDS:%=$(B)/%) $(DIRS:%=$(B)/%)

# Every byte passes here at every stage: small functions are worth joining.
ifndef SAN
$(B)/lib/json.o: override CFLAGS += -O3
endif

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
$(LIB): $(OBJ)
	$(Q)rm -f $@
	$(call say,AR)$(AR) rcs $@ $^
$(CMDS:%=$(B)/%): $(B)/%: $(B)/cmd/%.o $(LIB)
	$(call say,LD)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)
LIBS_gcp-emu := -lmicrohttpd -lsqlite3
define folder_rule
$(B)/$(1): $(patsubst %.c,$(B)/%.o,$(wildcard cmd/$(1)/*.c)) $(LIB)
	$$(call say,LD)$(CC) $(CFLAGS) $(LDFLAGS) -o $$@ $$^ $(LIBS_$(1)) $(LDLIBS)
endef
$(foreach d,$(DIRS),$(eval $(call folder_rule,$(d))))
$(UNITS): $(B)/tests/%: $(B)/tests/unit/%.o $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Fuzz targets. By themselves they replay files (tests/fuzz/replay.c); scripts/fuzz links them with libFuzzer. Their network
# and clock are a script (tests/fuzz/script.c).
FUZZ     := $(patsubst tests/fuzz/f-%.c,$(B)/fuzz/%,$(wildcard tests/fuzz/f-*.c))
ENGINE   ?= $(B)/tests/fuzz/replay.o
WRAP     := http_start http_cancel http_resume http_nudge http_answering http_net clock_now
$(B)/fuzz/verdict: WRAP += json_parse
$(FUZZ): $(B)/fuzz/%: $(B)/tests/fuzz/f-%.o $(B)/tests/fuzz/script.o $(filter %.o,$(ENGINE)) $(LIB)
	@mkdir -p $(@D)
	$(call say,LD)$(CC) $(CFLAGS) $(LDFLAGS) $(WRAP:%=-Wl,--wrap=%) $(filter -%,$(ENGINE)) -o $@ $^ $(LDLIBS)

units: $(UNITS)
fuzzers: $(FUZZ)
fuzz:
	$(Q)scripts/fuzz $(T) $(SECONDS)
check:
	$(Q)scripts/check
lint:
	$(Q)scripts/lint
bench: all
	$(Q)scripts/bench/stream
soak: all units
	$(Q)scripts/analyse
	$(Q)scripts/coverage
	$(Q)scripts/fuzz all 60
	$(Q)scripts/soak

# The installed folders are compiled in: another PREFIX makes these again.
$(B)/folders: FORCE
	@mkdir -p $(@D); echo '$(VERSION) $(DATADIR)' | cmp -s - $@ || echo '$(VERSION) $(DATADIR)' >$@
$(B)/lib/opt.o $(B)/lib/http.o $(B)/lib/schema.o: $(B)/folders

# Completions come from each command's --help.
SCRIPTS := $(patsubst scripts/%,evpipe-%,$(wildcard scripts/stream scripts/backfill scripts/replay))
TOOLS   := $(CMDS) $(DIRS)
$(TOOLS:%=$(B)/completion/%): $(B)/completion/%: $(B)/% scripts/completion
	@mkdir -p $(@D)
	$(Q)scripts/completion bash $* $< >$@ && scripts/completion zsh $* $< >$(@D)/_$*
$(SCRIPTS:%=$(B)/completion/%): $(B)/completion/evpipe-%: scripts/% scripts/completion
	@mkdir -p $(@D)
	$(Q)scripts/completion bash evpipe-$* $< >$@ && scripts/completion zsh evpipe-$* $< >$(@D)/_evpipe-$*
completion: $(addprefix $(B)/completion/,$(TOOLS) $(SCRIPTS))

install: all completion
	install -d $(addprefix $(DESTDIR),$(BINDIR) $(DATADIR) $(LIBEXEC) $(UNITDIR) $(CONFDIR) $(BASHDIR) $(ZSHDIR) $(DOCDIR)/examples)
	install -m 0755 $(TOOLS:%=$(B)/%) $(DESTDIR)$(BINDIR)
	for s in $(SCRIPTS); do install -m 0755 scripts/$${s#evpipe-} $(DESTDIR)$(BINDIR)/$$s; done
	install -m 0644 schemas.json scripts/lib/chain.bash $(DESTDIR)$(DATADIR)
	install -m 0755 scripts/systemd/pause $(DESTDIR)$(LIBEXEC)
	for m in $(MAN); do d=$(DESTDIR)$(MANDIR)/man$${m##*.}; install -d $$d; install -m 0644 $$m $$d; done
	for c in $(TOOLS) $(SCRIPTS); do install -m 0644 $(B)/completion/$$c $(DESTDIR)$(BASHDIR); \
		install -m 0644 $(B)/completion/_$$c $(DESTDIR)$(ZSHDIR); done
	cd scripts/systemd && for u in *.service *.timer *.target */*.conf; do \
		install -d $(DESTDIR)$(UNITDIR)/$$(dirname $$u); \
		sed -E 's,/usr/libexec/evpipe,$(LIBEXEC),; s,/usr/bin/((evpipe|ps|ev|bq|gcs|dlq)-),$(BINDIR)/\1,; s,/etc/evpipe/,$(CONFDIR)/,' \
			$$u >$(DESTDIR)$(UNITDIR)/$$u && chmod 0644 $(DESTDIR)$(UNITDIR)/$$u; done
	cd $(DESTDIR)$(UNITDIR) && sed '/^# make install/d; s/ (%i)$$//; s,/%i\.conf$$,/stream.conf,' evpipe-stream@.service \
		>evpipe-stream.service && chmod 0644 evpipe-stream.service
	install -m 0644 scripts/systemd/backfill.conf $(DESTDIR)$(DOCDIR)/examples
	test -e $(DESTDIR)$(CONFDIR)/stream.conf || install -m 0644 scripts/systemd/stream.conf $(DESTDIR)$(CONFDIR)

# The same bytes from the same commit, whoever makes them and when.
dist:
	@mkdir -p $(B)
	git archive --format=tar --prefix=evpipe-$(VERSION)/ HEAD | gzip -9n >$(B)/evpipe-$(VERSION).tar.gz
# From the tree as it stands, in a copy of it.
deb:
	rm -rf $(B)/deb && mkdir -p $(B)/deb/evpipe-$(VERSION)
	tar -c --exclude='./build*' --exclude=./.git --exclude=./demo-data --exclude=.terraform . | tar -x -C $(B)/deb/evpipe-$(VERSION)
	cd $(B)/deb/evpipe-$(VERSION) && env -u MAKEFLAGS -u MAKELEVEL dpkg-buildpackage --build=binary --unsigned-changes
clean:
	rm -rf build build-*

.PHONY: all units fuzzers fuzz check lint bench soak completion install dist deb clean FORCE
.SECONDARY:
.DELETE_ON_ERROR:
-include $(shell find $(B)/lib $(B)/cmd $(B)/tests -name '*.d' 2>/dev/null)
