# forkmend: `make help` lists what there is.
#
# `make run` and `make test` work as the first command on a fresh Debian 12: scripts/setup installs
# what is missing and says so. Everything that is made lies below build/.

VERSION := 0.1.0
CXX ?= g++
CC ?= gcc
B := build
# `make V=1` shows the commands.
Q := $(if $(V),,@)

PREFIX ?= /usr/local
DESTDIR ?=
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
# Debian's own prefix has multiarch directories, a local one does not search them first.
LIBDIR ?= $(PREFIX)/lib/$(MULTIARCH)

WARNINGS := -Wall -Wextra -Wshadow -Werror
# fmt of the build and the command: the library, or -DFMT_HEADER_ONLY where there is none.
FMT ?= -lfmt
COMMON := -std=c++20 -O2 -g $(filter -D%,$(FMT)) $(WARNINGS) -I. -Iinclude -I$(B)/gen \
          -DFORKMEND_VERSION='"$(VERSION)"' -DFORKMEND_LIBDIR='"$(LIBDIR)"'

# --- the shared object: libc alone (DESIGN rule 2) -------------------------------------------------
SHIM_DIRS := base exiting forking interpose locks python reporting reviving runtimes threads waiting
READER_SOURCES := shim/runtimes/config_reader.cc shim/runtimes/profile_file.cc
TOOL_SOURCES := shim/runtimes/embed_profiles.cc $(READER_SOURCES)
SHIM_SOURCES := $(filter-out $(TOOL_SOURCES),$(wildcard $(SHIM_DIRS:%=shim/%/*.cc)))
SHIM_ASSEMBLY := $(wildcard shim/base/*.S shim/interpose/*.S shim/python/bridge/*.S shim/reviving/*.S)
SHIM_OBJECTS := $(SHIM_SOURCES:%.cc=$(B)/so/%.o) $(SHIM_ASSEMBLY:%.S=$(B)/so/%.s.o)
# fmt: header only, without exceptions and locale. No stack protector: its canary differs between a
# function entered before and left after a child's entry only in theory, but it costs on each lock.
SHIM_FLAGS := $(COMMON) -fPIC -fvisibility=hidden -fno-exceptions -fno-rtti -fno-threadsafe-statics \
              -fasynchronous-unwind-tables -fno-stack-protector -DFMT_HEADER_ONLY \
              -DFMT_EXCEPTIONS=0 '-DFMT_THROW(x)=__builtin_trap()' -DFMT_STATIC_THOUSANDS_SEPARATOR=\',\' -Wno-nonnull-compare
SHIM_LINK := -shared -nodefaultlibs -Wl,--version-script=shim/exports.map \
             -Wl,-soname,libforkmend.so -Wl,-z,now -Wl,-z,relro -Wl,-z,noseparate-code -Wl,-z,defs -Wl,--hash-style=gnu \
             -Wl,--exclude-libs,ALL -Wl,--gc-sections -Wl,-O1 -Wl,--as-needed

# Before glibc 2.34 threads and dlsym are libraries of their own; since then these are empty.
SHIM_LIBS := -lpthread -ldl -lc -lgcc

.PHONY: all
all: $(B)/libforkmend.so $(B)/libforkmend-config.so $(B)/forkmend

$(B)/so/%.o: %.cc | $(B)/gen/builtin_profiles.inc
	@mkdir -p $(@D)
	$(Q)$(CXX) $(SHIM_FLAGS) -ffunction-sections -MMD -MP -c $< -o $@

$(B)/so/%.s.o: %.S
	@mkdir -p $(@D)
	$(Q)$(CC) -fPIC -MMD -MP -c $< -o $@

# The Python part of the bridge is carried as text.
$(B)/so/shim/python/bridge/sources.s.o: $(wildcard shim/python/bridge/*.py)

$(B)/libforkmend.so: $(SHIM_OBJECTS) shim/exports.map
	$(Q)$(CXX) $(SHIM_LINK) $(SHIM_OBJECTS) $(EXTRA) -o $@.tmp $(SHIM_LIBS)
	@mv $@.tmp $@

# --- ordinary C++: profiles at build time, the configuration reader, the command --------------------
# Runs here, also where the rest is made for another machine.
EMBED ?= $(B)/embed_profiles
$(EMBED): shim/runtimes/embed_profiles.cc shim/runtimes/profile_file.cc \
                     $(wildcard shim/runtimes/*.h)
	@mkdir -p $(@D)
	$(Q)$(CXX) $(COMMON) $(filter %.cc,$^) -o $@ $(FMT)

$(B)/gen/builtin_profiles.inc: $(EMBED) $(wildcard shim/runtimes/profiles/*.toml)
	@mkdir -p $(@D)
	$(Q)$(EMBED) $@ $(filter %.toml,$^)

$(B)/libforkmend-config.so: $(READER_SOURCES) $(wildcard shim/runtimes/*.h) shim/runtimes/config_reader.map
	@mkdir -p $(@D)
	$(Q)$(CXX) $(COMMON) -fPIC -fvisibility=hidden -DFMT_HEADER_ONLY -shared -static-libstdc++ \
	  -static-libgcc -Wl,--exclude-libs,ALL -Wl,--version-script=shim/runtimes/config_reader.map \
	  -Wl,-z,defs $(READER_SOURCES) -o $@

COMMAND_SOURCES := $(wildcard shim/command/*.cc) shim/runtimes/profile_file.cc
COMMAND_OBJECTS := $(COMMAND_SOURCES:%.cc=$(B)/command/%.o)
# Linked statically where the command is to run beside other versions of libunwind than that of its headers.
UNWIND ?= -lunwind-ptrace -lunwind-generic -lunwind
COMMAND_LIBS := $(UNWIND) -ldw -lelf -ldl $(filter -l%,$(FMT))

$(B)/command/%.o: %.cc | $(B)/gen/builtin_profiles.inc
	@mkdir -p $(@D)
	$(Q)$(CXX) $(COMMON) -MMD -MP -c $< -o $@

$(B)/forkmend: $(COMMAND_OBJECTS)
	$(Q)$(CXX) $(COMMAND_OBJECTS) -o $@ $(COMMAND_LIBS)

# Not those of other roots (scripts/glibc_root), which were made with other headers.
-include $(shell find $(B) \( -path $(B)/roots -o -path $(B)/glibc -o -path $(B)/aarch64 \) -prune -o -type f -name '*.d' -print 2>/dev/null)

include tests/tests.mk

# --- what people type -------------------------------------------------------------------------------
.PHONY: setup run bench lint install uninstall clean help

run: ## the main job on real input: Statsig in forked children, before and after (a minute after set-up)
	scripts/setup run
	$(MAKE) all
	scripts/repro --quick

bench: ## what the shim costs: ratios to no preload, beside a forwarding preload and other tools
	scripts/setup bench
	$(MAKE) all $(B)/bench/rows $(B)/bench/libforwarding.so
	scripts/bench

$(B)/bench/rows: tests/bench/rows.cc $(wildcard tests/bench/*.h)
	@mkdir -p $(@D)
	$(Q)$(CXX) -std=c++20 -O2 $(WARNINGS) -pthread -I. $< -o $@

$(B)/bench/libforwarding.so: tests/bench/forwarding.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) -std=c++20 -O2 $(WARNINGS) -shared -fPIC -nodefaultlibs $< -o $@ -lc

LINTED := $(shell git ls-files -co --exclude-standard 'shim/*.cc' 'shim/*.h' 'include/*' 'tests/*.cc' 'tests/*.h' 2>/dev/null)
lint: ## clang-format and clang-tidy
	scripts/setup lint
	$(MAKE) $(B)/gen/builtin_profiles.inc
	clang-format --dry-run -Werror $(LINTED)
	printf '%s\n' $(filter shim/%.cc,$(LINTED)) | xargs -P 2 -n 4 sh -c \
	  'clang-tidy --quiet "$$@" -- -std=c++20 -I. -Iinclude -I$(B)/gen -DFMT_HEADER_ONLY -DFMT_EXCEPTIONS=0' sh

install: all ## into PREFIX (default /usr/local), below DESTDIR
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/include/forkmend
	install -m 755 $(B)/libforkmend.so $(B)/libforkmend-config.so $(DESTDIR)$(LIBDIR)
	install -m 755 $(B)/forkmend $(DESTDIR)$(PREFIX)/bin
	strip --strip-debug $(DESTDIR)$(LIBDIR)/libforkmend.so $(DESTDIR)$(LIBDIR)/libforkmend-config.so \
	  $(DESTDIR)$(PREFIX)/bin/forkmend
	install -m 644 include/forkmend/forkmend.h include/forkmend/forkmend.hpp $(DESTDIR)$(PREFIX)/include/forkmend
	printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$${prefix}/include' '' \
	  'Name: forkmend' 'Description: makes thread runtimes survive fork and exit' \
	  'Version: $(VERSION)' 'Cflags: -I$${includedir}' > $(DESTDIR)$(LIBDIR)/pkgconfig/forkmend.pc

uninstall: ## removes what install put there
	rm -f $(DESTDIR)$(LIBDIR)/libforkmend.so $(DESTDIR)$(LIBDIR)/libforkmend-config.so
	rm -f $(DESTDIR)$(LIBDIR)/pkgconfig/forkmend.pc $(DESTDIR)$(PREFIX)/bin/forkmend
	rm -f $(DESTDIR)$(PREFIX)/include/forkmend/forkmend.h $(DESTDIR)$(PREFIX)/include/forkmend/forkmend.hpp
	-rmdir $(DESTDIR)$(PREFIX)/include/forkmend 2>/dev/null

clean: ## removes build/
	rm -rf $(B)

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 16
