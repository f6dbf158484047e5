# evpipe. Targets: all check lint bench soak install dist clean
# Knobs: V=1 (show commands)  SAN=address,undefined  DEV=1 (warnings are errors)  CC=clang  PREFIX  DESTDIR  B (build folder)
VERSION := 0.1.0
PREFIX  ?= /usr/local
BINDIR  ?= $(PREFIX)/bin
DATADIR ?= $(PREFIX)/share/evpipe
MANDIR  ?= $(PREFIX)/share/man
CFLAGS  ?= -O2 -g
B       ?= build$(if $(SAN),-san)

override CPPFLAGS += -D_GNU_SOURCE -iquote lib -MMD -MP -DEVPIPE_VERSION='"$(VERSION)"' -DEVPIPE_DATADIR='"$(DATADIR)"'
override CFLAGS   += -std=c11 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
                     -Wpointer-arith -Wwrite-strings -Wvla -Wno-missing-field-initializers -fno-common
ifdef DEV
override CFLAGS   += -Werror
endif
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

units: $(UNITS)
check:
	$(Q)scripts/check
lint:
	$(Q)scripts/lint
bench: all
	$(Q)scripts/bench/stream
soak: all units
	$(Q)scripts/soak

install: all
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(DATADIR)
	install -m 0755 $(CMDS:%=$(B)/%) $(DIRS:%=$(B)/%) $(DESTDIR)$(BINDIR)
	install -m 0755 scripts/stream $(DESTDIR)$(BINDIR)/evpipe-stream
	install -m 0755 scripts/backfill $(DESTDIR)$(BINDIR)/evpipe-backfill
	install -m 0644 schemas.json scripts/lib/chain.bash $(DESTDIR)$(DATADIR)
	for m in $(MAN); do d=$(DESTDIR)$(MANDIR)/man$${m##*.}; install -d $$d; install -m 0644 $$m $$d; done
clean:
	rm -rf build build-san build-check build-clang

.PHONY: all units check lint bench soak install clean
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
