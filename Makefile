# forkmend: `make help` lists what there is.
#
# `make run` and `make test` work as the first command on a fresh Debian 12: scripts/setup installs
# what is missing and says so. Everything that is made lies below build/.

# The one place where it stands.
VERSION := $(shell sed -n 's/^\#define FORKMEND_VERSION "\(.*\)"/\1/p' shim/version.h)
CXX ?= g++
CC ?= gcc
B := build
# For the targets that build at the beginning.
JOBS := $(shell nproc 2>/dev/null || echo 2)
# `make V=1` shows the commands.
Q := $(if $(V),,@)

PREFIX ?= /usr/local
DESTDIR ?=
MULTIARCH := $(shell $(CC) -print-multiarch 2>/dev/null)
# Debian's own prefix has multiarch directories, a local one does not search them first.
LIBDIR ?= $(PREFIX)/lib/$(MULTIARCH)

WARNINGS := -Wall -Wextra -Wshadow -Werror
COMMON := -std=c++20 $(WARNINGS) -I. -Iinclude -I$(B)/gen
# What a compilation read, so that a change of it leads to another.
DEPEND = -MMD -MP -MF $@.d -MT $@

# --- the shared object: libc alone ------------------------------------------------------------------
SHIM_DIRS := base exiting forking interpose locks python reporting reviving runtimes threads waiting
READER_SOURCES := shim/runtimes/config_reader.cc shim/runtimes/profile_file.cc
TOOL_SOURCES := shim/runtimes/embed_profiles.cc $(READER_SOURCES)
SHIM_SOURCES := $(filter-out $(TOOL_SOURCES),$(wildcard $(SHIM_DIRS:%=shim/%/*.cc)))
SHIM_ASSEMBLY := $(wildcard shim/base/*.S shim/interpose/*.S shim/python/bridge/*.S shim/reviving/*.S)
SHIM_OBJECTS := $(SHIM_SOURCES:%.cc=$(B)/so/%.o) $(SHIM_ASSEMBLY:%.S=$(B)/so/%.s.o)
# fmt: its code is in one unit (base/text.cc), without exceptions and locale. No stack protector: its canary differs between a
# function entered before and left after a child's entry only in theory, but it costs on each lock.
SHIM_FLAGS := $(COMMON) -O2 -g -fPIC -fvisibility=hidden -fno-exceptions -fno-rtti -fno-threadsafe-statics \
              -fasynchronous-unwind-tables -fno-stack-protector \
              -DFMT_EXCEPTIONS=0 '-DFMT_THROW(x)=__builtin_trap()' -DFMT_STATIC_THOUSANDS_SEPARATOR=\',\' -Wno-nonnull-compare
SHIM_LINK := -shared -nodefaultlibs -Wl,--version-script=shim/exports.map \
             -Wl,-soname,libforkmend.so -Wl,-z,now -Wl,-z,relro -Wl,-z,noseparate-code -Wl,-z,defs -Wl,--hash-style=gnu \
             -Wl,--exclude-libs,ALL -Wl,--gc-sections -Wl,-O1 -Wl,--as-needed

# Before glibc 2.34 threads and dlsym are libraries of their own; since then these are empty.
SHIM_LIBS := -lpthread -ldl -lc -lgcc

.PHONY: all
all: $(B)/libforkmend.so $(B)/libforkmend-config.so $(B)/forkmend

$(B)/so/%.o: %.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) $(SHIM_FLAGS) -ffunction-sections $(DEPEND) -c $< -o $@

$(B)/so/%.s.o: %.S
	@mkdir -p $(@D)
	$(Q)$(CC) -fPIC $(DEPEND) -c $< -o $@

# The Python part of the bridge is carried as text.
$(B)/so/shim/python/bridge/sources.s.o: $(wildcard shim/python/bridge/*.py)

$(B)/libforkmend.so: $(SHIM_OBJECTS) shim/exports.map
	$(Q)$(CXX) $(SHIM_LINK) $(SHIM_OBJECTS) $(EXTRA) -o $@.tmp $(SHIM_LIBS)
	@mv $@.tmp $@

# --- ordinary C++: profiles at build time, the configuration reader, the command --------------------
# fmt of the command: the library, or -DFMT_HEADER_ONLY where there is none.
FMT ?= -lfmt
# They run for moments: with -O2 -g the parsers' templates take twice as long to compile.
TOOL_FLAGS := $(COMMON) -O1 -g1 $(filter -D%,$(FMT)) -DFORKMEND_LIBDIR='"$(LIBDIR)"'

# The reader of profiles has the parser of TOML in it, so it is compiled once for all three; fit for a shared object.
$(B)/reader/%.o: %.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) $(TOOL_FLAGS) -fPIC -fvisibility=hidden $(DEPEND) -c $< -o $@

PROFILE_FILE := $(B)/reader/shim/runtimes/profile_file.o

# Runs here, also where the rest is made for another machine.
EMBED ?= $(B)/embed_profiles
$(B)/embed_profiles: $(B)/reader/shim/runtimes/embed_profiles.o $(PROFILE_FILE)
	$(Q)$(CXX) $^ -o $@

$(B)/gen/builtin_profiles.inc: $(EMBED) $(wildcard shim/runtimes/profiles/*.toml)
	@mkdir -p $(@D)
	$(Q)$(EMBED) $@ $(filter %.toml,$^)

$(B)/libforkmend-config.so: $(B)/reader/shim/runtimes/config_reader.o $(PROFILE_FILE) shim/runtimes/config_reader.map
	$(Q)$(CXX) -shared -static-libstdc++ -static-libgcc -Wl,--exclude-libs,ALL \
	  -Wl,--version-script=shim/runtimes/config_reader.map -Wl,-z,defs $(filter %.o,$^) -o $@

COMMAND_SOURCES := $(wildcard shim/command/*.cc)
COMMAND_OBJECTS := $(COMMAND_SOURCES:%.cc=$(B)/command/%.o) $(PROFILE_FILE)
# Linked statically where the command is to run beside other versions of libunwind than that of its headers.
UNWIND ?= -lunwind-ptrace -lunwind-generic -lunwind
COMMAND_LIBS := $(UNWIND) -ldw -lelf -ldl $(filter -l%,$(FMT))

$(B)/command/%.o: %.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) $(TOOL_FLAGS) $(DEPEND) -c $< -o $@

$(B)/forkmend: $(COMMAND_OBJECTS)
	$(Q)$(CXX) $(COMMAND_OBJECTS) -o $@ $(COMMAND_LIBS)

# The two units with the built-in profiles in them are the only ones that wait for them to be made.
$(B)/so/shim/runtimes/configuration.o $(B)/command/shim/command/builtin.o: | $(B)/gen/builtin_profiles.inc

# Not those of other roots (scripts/glibc_root), which were made with other headers.
-include $(shell find $(B) \( -path $(B)/roots -o -path $(B)/glibc -o -path $(B)/aarch64 \) -prune -o -type f -name '*.d' -print 2>/dev/null)

include tests/tests.mk

# --- what people type -------------------------------------------------------------------------------
.PHONY: run bench lint install uninstall clean help

run: ## the main job on real input: Statsig in forked children, before and after (a minute after set-up)
	scripts/setup run
	$(MAKE) -j$(JOBS) all
	scripts/repro --quick

bench: ## what the shim costs: ratios to no preload, beside a forwarding preload and other tools
	scripts/setup bench
	$(MAKE) -j$(JOBS) all $(B)/bench/rows $(B)/bench/libforwarding.so
	scripts/bench

$(B)/bench/rows: tests/bench/rows.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) -std=c++20 -O2 $(WARNINGS) -pthread -I. $(DEPEND) $< -o $@

$(B)/bench/libforwarding.so: tests/bench/forwarding.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) -std=c++20 -O2 $(WARNINGS) -shared -fPIC -nodefaultlibs $(DEPEND) $< -o $@ -lc

# --- lint: a target each, so that tests/cases/lint.py can count them -----------------------------------
# Each of these needs `scripts/setup lint`.
LINTS := lint-format lint-tidy lint-layers lint-ruff lint-mypy lint-shell
.PHONY: $(LINTS)
lint: ## clang-format, clang-tidy, the layers, ruff, mypy, shellcheck (15 minutes; then only what changed)
	scripts/setup lint
	$(MAKE) -j$(JOBS) $(LINTS)

LINTED := $(wildcard shim/*.h shim/*/*.cc shim/*/*.h include/forkmend/* tests/*/*.cc tests/*/*.h tests/*/*/*.cc tests/*/*/*.h)
lint-format:
	clang-format --dry-run -Werror $(LINTED)

# The static analyzer takes seven times as long as all other checks together: TIDY=quick leaves it out, for CI.
TIDY ?= full
TIDY_CHECKS_quick := --checks=-clang-analyzer-*
TIDIED := $(B)/lint/$(TIDY)
lint-tidy: $(SHIM_SOURCES:%=$(TIDIED)/%) $(COMMAND_SOURCES:%=$(TIDIED)/%) $(TOOL_SOURCES:%=$(TIDIED)/%)
$(TIDIED)/%: % .clang-tidy
	@mkdir -p $(@D)
	$(Q)said=$$(clang-tidy --quiet $(TIDY_CHECKS_$(TIDY)) $< -- -std=c++20 -I. -Iinclude -I$(B)/gen 2>&1) || \
	  { printf '%s\n' "$$said"; exit 1; }
	@touch $@
# The object is newer than whatever it includes.
$(SHIM_SOURCES:%=$(TIDIED)/%): $(TIDIED)/%.cc: $(B)/so/%.o
$(COMMAND_SOURCES:%=$(TIDIED)/%): $(TIDIED)/%.cc: $(B)/command/%.o
$(TOOL_SOURCES:%=$(TIDIED)/%): $(TIDIED)/%.cc: $(B)/reader/%.o

lint-layers:
	scripts/layers

lint-ruff:
	$(B)/venv/bin/ruff check --quiet

MYPY = $(CURDIR)/$(B)/venv/bin/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/$(B)/mypy
lint-mypy:
	cd scripts && $(MYPY) -p repro_suite -p bench_rows
	cd tests && $(MYPY) -p harness -p cases
	$(MYPY) --scripts-are-modules scripts/layers scripts/glibc_test

lint-shell:
	shellcheck scripts/setup scripts/glibc_root scripts/repro .ci/run

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
