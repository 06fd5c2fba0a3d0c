# Tests: unit (doctest), programs (victims), preload (the shim under real load). See tests/README.md.
.PHONY: test check soak tests unit-tests test-glibc test-aarch64

T := $(B)/tests
U := $(B)/unit

test: ## unit tests, victims and tests under real load, and lint without the static analyzer (about 10 minutes)
	scripts/setup test
	scripts/setup lint
	$(MAKE) -j$(JOBS) all tests
	$(B)/venv/bin/python tests/run

# One of each kind that is done in a second or two, and what it needs. A blank in a name is written as "?".
CHECKED := unit/plain orphan/normal orphan/c11 lost-signaller/ raw/clone/ pool/idle pool/grandchildren respawn/once \
           resume/submit rerun/submit declared/submit by?signal/submit fork/exec* exit/way?out/ deadline/0* \
           healthy/cond healthy/futex inert/FORKMEND=off settings/silence
CHECKED_PROGRAMS := orphan_lock lost_signaller raw_fork pool_forks pool_respawn resume_pool rerun_pool declared by_signal \
                    fork_exec exit_phase deadline healthy_waits inert
check: ## between commits: the plain unit tests and a victim of each kind (a minute, once they are built)
	scripts/setup test
	$(MAKE) -j$(JOBS) all $(U)/plain/run $(CHECKED_PROGRAMS:%=$(T)/%)
	$(B)/venv/bin/python tests/run $(CHECKED:%=-k '%')

soak: ## what is too long for CI: 100,000 forks, 1,000 forks of each version, waits of 30 s
	scripts/setup test
	$(MAKE) -j$(JOBS) all tests
	$(B)/venv/bin/python tests/run --soak

test-glibc: ## as root: the same files on glibc 2.31, 2.36, 2.41, 2.43, in roots made below build/
	scripts/glibc_test --table

AARCH64_VICTIMS := inert orphan_lock primitive
test-aarch64: ## cross-compiled for aarch64: the engine's unit tests and some victims under qemu-user
	scripts/setup aarch64
	$(MAKE) -j$(JOBS) $(B)/embed_profiles
	$(MAKE) -j$(JOBS) B=$(B)/aarch64 EMBED=$(B)/embed_profiles CXX=aarch64-linux-gnu-g++ CC=aarch64-linux-gnu-gcc \
	  FMT=-DFMT_HEADER_ONLY $(B)/aarch64/libforkmend.so $(B)/aarch64/libforkmend-config.so \
	  $(B)/aarch64/unit/engine/run $(AARCH64_VICTIMS:%=$(B)/aarch64/tests/%)
	scripts/aarch64_test

tests: victims unit-tests

# --- victims: one file a program ----------------------------------------------------------------------
VICTIM_LIBRARIES := atfork_log audit ordinary_library callback_pool constructor_fork constructor_first exit_entry spin_queue inline_pool
# Built in ways of their own, below.
VICTIM_SPECIAL := $(VICTIM_LIBRARIES) fork_in_constructor loaded_after exit_spdlog declared by_signal
VICTIM_SOURCES := $(wildcard tests/programs/*.cc)
VICTIMS := primitive $(filter-out $(VICTIM_SPECIAL),$(VICTIM_SOURCES:tests/programs/%.cc=%))
VICTIM_FLAGS := -std=c++20 -O2 -g $(WARNINGS) -pthread -I. -Iinclude

.PHONY: victims
victims: $(VICTIMS:%=$(T)/%) $(VICTIM_LIBRARIES:%=$(T)/lib%.so) $(T)/fork_in_constructor \
         $(T)/loaded_after $(T)/declared $(T)/declared-lazy $(T)/by_signal $(if $(WITHOUT_SPDLOG),,$(T)/exit_spdlog) $(T)/sanitized-asan $(T)/sanitized-tsan $(T)/setuid \
         header-programs outside-programs

$(T)/%: tests/programs/%.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) $(VICTIM_FLAGS) $(DEPEND) $< -o $@ -lutil $(VICTIM_LIBS)

PRIMITIVE_OBJECTS := $(patsubst tests/programs/%.cc,$(T)/objects/%.o,$(wildcard tests/programs/primitive/*.cc))
$(T)/objects/%.o: tests/programs/%.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) $(VICTIM_FLAGS) $(DEPEND) -c $< -o $@
$(T)/primitive: $(PRIMITIVE_OBJECTS)
	$(Q)$(CXX) $(VICTIM_FLAGS) $^ -o $@

# Before glibc 2.34 dlsym is in a library of its own.
$(T)/resume_pool $(T)/hostile $(T)/namespaces $(T)/libatfork_log.so: VICTIM_LIBS := -ldl

# OpenMP on libgomp.
$(T)/quiesce_regions $(T)/learn_openmp: VICTIM_FLAGS += -fopenmp

$(T)/lib%.so: tests/programs/%.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) $(VICTIM_FLAGS) $(DEPEND) -shared -fPIC $< -o $@ $(VICTIM_LIBS)

$(T)/fork_in_constructor: tests/programs/fork_in_constructor.cc $(T)/libconstructor_fork.so
	$(Q)$(CXX) $(VICTIM_FLAGS) $(DEPEND) $(filter %.cc %.so,$^) -o $@ -Wl,-rpath,'$$ORIGIN'

$(T)/loaded_after: tests/programs/loaded_after.cc $(T)/libconstructor_first.so
	$(Q)$(CXX) $(VICTIM_FLAGS) $(DEPEND) $(filter %.cc %.so,$^) -o $@ -Wl,-rpath,'$$ORIGIN'

# Bound at its start, as distributions build, and at the first call.
$(T)/declared: DECLARED_FLAGS := -Wl,-z,now -Wl,-z,relro
$(T)/declared-lazy: DECLARED_FLAGS := -Wl,-z,lazy
$(T)/declared $(T)/declared-lazy: tests/programs/declared.cc $(T)/libspin_queue.so
	$(Q)$(CXX) $(VICTIM_FLAGS) $(DEPEND) $< $(T)/libspin_queue.so -o $@ $(DECLARED_FLAGS) -Wl,-rpath,'$$ORIGIN'
$(T)/by_signal: tests/programs/by_signal.cc $(T)/libinline_pool.so
	$(Q)$(CXX) $(VICTIM_FLAGS) $(DEPEND) $< $(T)/libinline_pool.so -o $@ -Wl,-rpath,'$$ORIGIN'

# Calls that the compiler checks, whatever the distribution's own default is.
$(T)/fortified_poll: VICTIM_FLAGS += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2

$(T)/exit_spdlog: tests/programs/exit_spdlog.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) $(VICTIM_FLAGS) -DSPDLOG_SHARED_LIB -DSPDLOG_COMPILED_LIB -DSPDLOG_FMT_EXTERNAL $(DEPEND) $< -o $@ -lspdlog -lfmt

# Beside a sanitizer the shim does nothing and says so.
$(T)/sanitized-asan: tests/programs/inert.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) $(VICTIM_FLAGS) -fsanitize=address $(DEPEND) $< -o $@
	@ln -sf $$($(CXX) -print-file-name=libasan.so) $(T)/libasan.so
$(T)/sanitized-tsan: tests/programs/inert.cc
	@mkdir -p $(@D)
	$(Q)$(CXX) $(VICTIM_FLAGS) -fsanitize=thread $(DEPEND) $< -o $@
# Linked against the shim: of a set-user-id program ld.so ignores LD_PRELOAD, so that only this way
# the shim finds itself in one. The test sets the bit, on a copy.
$(T)/setuid: tests/programs/inert.cc $(B)/libforkmend.so
	$(Q)$(CXX) $(VICTIM_FLAGS) $(DEPEND) $< -o $@ -Wl,--no-as-needed $(B)/libforkmend.so -Wl,-rpath,$(CURDIR)/$(B)

# forkmend.h in every dialect that it promises, with every warning, linked in every way.
HEADER_FLAGS = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -pthread -Iinclude -O2 $(DEPEND)
.PHONY: header-programs
header-programs: $(T)/header-c99 $(T)/header-c11 $(T)/header-c99-static $(T)/header-c99-nopie \
                 $(T)/header-cc17 $(T)/header-cc20 $(T)/header-cc17-static
$(T)/header-c99: tests/programs/header.c
	@mkdir -p $(@D)
	$(Q)$(CC) -std=c99 $(HEADER_FLAGS) -Wstrict-prototypes $< -o $@
$(T)/header-c11: tests/programs/header.c
	$(Q)$(CC) -std=c11 $(HEADER_FLAGS) -Wstrict-prototypes $< -o $@
$(T)/header-c99-static: tests/programs/header.c
	$(Q)$(CC) -std=c99 $(HEADER_FLAGS) -static $< -o $@
$(T)/header-c99-nopie: tests/programs/header.c
	$(Q)$(CC) -std=c99 $(HEADER_FLAGS) -fno-pie -no-pie $< -o $@
$(T)/header-cc17: tests/programs/header.cpp
	$(Q)$(CXX) -std=c++17 $(HEADER_FLAGS) $< -o $@
$(T)/header-cc20: tests/programs/header.cpp
	$(Q)$(CXX) -std=c++20 $(HEADER_FLAGS) $< -o $@
# Before glibc 2.34 a static program with std::thread has all of libpthread or parts that do not fit.
$(T)/header-cc17-static: tests/programs/header.cpp
	$(Q)$(CXX) -std=c++17 $(HEADER_FLAGS) -static $< -o $@ -Wl,--whole-archive -lpthread -Wl,--no-whole-archive

# What the shim cannot be loaded into. A compiler that is not there makes no program; the test says so.
.PHONY: outside-programs
outside-programs: $(T)/outside-static $(T)/outside-32 $(T)/outside-musl-static
OUTSIDE = @mkdir -p $(@D); rm -f $@;
$(T)/outside-static: tests/programs/outside.c
	$(OUTSIDE) $(CC) -O2 -pthread -static $< -o $@ -Wl,--whole-archive -lpthread -Wl,--no-whole-archive
$(T)/outside-32: tests/programs/outside.c
	$(OUTSIDE) $(CC) -O2 -pthread -m32 -isystem /usr/include/$(shell uname -m)-linux-gnu $< -o $@ 2>$@.log \
	  || echo "outside-32: not built: needs libc6-dev-i386 and lib32gcc-12-dev"
$(T)/outside-musl-static: tests/programs/outside.c
	$(OUTSIDE) musl-gcc -O2 -static $< -o $@ 2>$@.log || echo "outside-musl-static: not built: needs musl-tools"

# --- unit tests: the engine inside one program, three times -------------------------------------------
# Left out: what exports or decides for a process (interpose, load, doctor), the bridge into CPython
# (tests/unit/engine.cc stands in for them), and freestanding.cc, since libstdc++ is linked here.
UNIT_ENGINE := $(filter-out shim/interpose/% shim/python/% shim/base/load.cc shim/base/doctor.cc \
                 shim/base/freestanding.cc,$(SHIM_SOURCES))
UNIT_ASSEMBLY := $(B)/so/shim/base/own_stack.s.o $(B)/so/shim/reviving/context.s.o $(B)/so/shim/reviving/stubs.s.o
UNIT_OF_COMMAND := $(wildcard tests/unit/command_*_test.cc tests/unit/profile_file_test.cc)
UNIT_OF_ENGINE := $(filter-out $(UNIT_OF_COMMAND),$(wildcard tests/unit/*.cc))
UNIT_FLAGS := $(COMMON) -O0 -g1 -pthread -DFORKMEND_LIBDIR='"$(LIBDIR)"' -Wno-nonnull-compare
UNIT_FLAGS_asan := -DFORKMEND_CHECK_LOCKS -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
UNIT_FLAGS_tsan := -DFORKMEND_CHECK_LOCKS -fsanitize=thread -Wno-tsan

UNIT_FLAVOURS := plain asan tsan
unit-tests: $(UNIT_FLAVOURS:%=$(U)/%/run)

define unit_flavour
$(U)/$(1)/%.o: %.cc
	@mkdir -p $$(@D)
	$$(Q)$$(CXX) $$(UNIT_FLAGS) $$(UNIT_FLAGS_$(1)) $$(DEPEND) -c $$< -o $$@
$(U)/$(1)/shim/runtimes/configuration.o: | $(B)/gen/builtin_profiles.inc
endef
$(foreach flavour,plain asan tsan,$(eval $(call unit_flavour,$(flavour))))

# Plain: the very objects that the shared object and the command are made of.
$(U)/plain/run: $(UNIT_OF_ENGINE:%.cc=$(U)/plain/%.o) $(UNIT_OF_COMMAND:%.cc=$(U)/plain/%.o) \
                $(UNIT_ENGINE:%.cc=$(B)/so/%.o) $(UNIT_ASSEMBLY) $(filter-out %/main.o,$(COMMAND_OBJECTS))
	$(Q)$(CXX) -pthread $^ -o $@ $(COMMAND_LIBS)
# The engine alone, from the objects of the shared object: for a machine without the command's libraries.
$(U)/engine/run: $(UNIT_OF_ENGINE:%.cc=$(U)/plain/%.o) $(UNIT_ENGINE:%.cc=$(B)/so/%.o) $(UNIT_ASSEMBLY)
	@mkdir -p $(@D)
	$(Q)$(CXX) -pthread $^ -o $@ -ldl
# Under sanitizers: the engine, compiled for the purpose.
$(U)/asan/run $(U)/tsan/run: $(U)/%/run:
	$(Q)$(CXX) $(UNIT_FLAGS_$*) -pthread $^ -o $@ -ldl
$(U)/asan/run: $(UNIT_ASSEMBLY) $(UNIT_OF_ENGINE:%.cc=$(U)/asan/%.o) $(UNIT_ENGINE:%.cc=$(U)/asan/%.o)
$(U)/tsan/run: $(UNIT_ASSEMBLY) $(UNIT_OF_ENGINE:%.cc=$(U)/tsan/%.o) $(UNIT_ENGINE:%.cc=$(U)/tsan/%.o)

# --- fuzzers: one function each, under libFuzzer (clang) and over the corpus alone (any compiler) -----
FUZZERS := profile_file settings report
# Seconds for each of them: ten minutes.
FUZZ_SECONDS ?= 600
FUZZ_CXX ?= clang++-14
F := $(B)/fuzz

.PHONY: fuzz fuzzers replays
fuzz: ## libFuzzer on all that reads files and settings, ASan and UBSan, FUZZ_SECONDS=600 for each
	scripts/setup fuzz
	$(MAKE) -j$(JOBS) fuzzers
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(B)/venv/bin/python tests/run -k fuzz/

fuzzers: $(FUZZERS:%=$(F)/fuzz-%)
replays: $(FUZZERS:%=$(F)/replay-%)
tests: replays $(if $(shell command -v $(FUZZ_CXX)),fuzzers)

# Compiled for the purpose: what reads, and what prints of it. The rest are the objects of the shared object and the
# command.
FUZZED_profile_file := shim/runtimes/profile_file.cc
FUZZED_settings := $(addprefix shim/,base/settings.cc base/text.cc base/message.cc runtimes/configuration.cc reporting/event.cc)
FUZZED_report := $(addprefix shim/command/,analysis.cc base64.cc block.cc event.cc event_store.cc output.cc unwind.cc)

FUZZ_OBJECTS_profile_file := $(PROFILE_FILE)
FUZZ_OBJECTS_settings := $(UNIT_ENGINE:%.cc=$(B)/so/%.o) $(U)/plain/tests/unit/engine.o $(UNIT_ASSEMBLY)
FUZZ_OBJECTS_report := $(filter-out %/main.o,$(COMMAND_OBJECTS))
FUZZ_LIBS_settings := -ldl
FUZZ_LIBS_report := $(COMMAND_LIBS)

FUZZ_FLAGS := $(COMMON) -w -O1 -g1 -pthread -DFORKMEND_LIBDIR='"$(LIBDIR)"' \
              -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all -fno-omit-frame-pointer
$(F)/%.o: %.cc
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CXX) $(FUZZ_FLAGS) $(DEPEND) -c $< -o $@

$(F)/shim/runtimes/configuration.o: | $(B)/gen/builtin_profiles.inc

define fuzzer_rules
$(F)/fuzz-$(1): $(F)/tests/fuzz/$(1).o $(FUZZED_$(1):%.cc=$(F)/%.o) \
  $(filter-out $(FUZZED_$(1):%.cc=$(B)/so/%.o) $(FUZZED_$(1):%.cc=$(B)/command/%.o) \
    $(FUZZED_$(1):%.cc=$(B)/reader/%.o),$(FUZZ_OBJECTS_$(1)))
	@mkdir -p $$(@D)
	$$(Q)$(FUZZ_CXX) -fsanitize=fuzzer,address,undefined -pthread $$^ -o $$@ $(FUZZ_LIBS_$(1))
$(F)/replay-$(1): $(U)/plain/tests/fuzz/$(1).o $(U)/plain/tests/fuzz/replay.o $(FUZZ_OBJECTS_$(1))
	@mkdir -p $$(@D)
	$$(Q)$$(CXX) -pthread $$^ -o $$@ $(FUZZ_LIBS_$(1))
endef
$(foreach name,$(FUZZERS),$(eval $(call fuzzer_rules,$(name))))
