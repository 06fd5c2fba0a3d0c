// libunwind's remote unwinding with accessors of our own: memory is the captured copy and, for
// everything read-only, the modules' files; unwind tables are found through .eh_frame_hdr.
#include "shim/command/unwind.h"

#include <fmt/format.h>
#include <libunwind.h>

#include <cstring>

extern "C" int UNW_OBJ(dwarf_search_unwind_table)(unw_addr_space_t, unw_word_t, unw_dyn_info_t*,
                                                  unw_proc_info_t*, int, void*);

namespace forkmend::command {
namespace {

// Encodings of .eh_frame_hdr (LSB Core, "DWARF Extensions").
constexpr std::uint8_t kPcRelativeSigned4 = 0x1b;
constexpr std::uint8_t kUnsigned4 = 0x03;
constexpr std::uint8_t kDataRelativeSigned4 = 0x3b;

struct EhFrameHdr {
  std::uint8_t version, eh_frame_encoding, count_encoding, table_encoding;
  std::int32_t eh_frame;
  std::uint32_t count;
};
constexpr std::size_t kTableEntrySize = 8;

// What the accessors work on, and what they found on the way.
struct Space {
  const StackCopy& stack;
  ModuleMap& modules;
  Address no_info_ip = 0;      // the last address without unwind information
  bool left_the_copy = false;  // the stack was read beyond what was captured
};

Space& space_of(void* argument) { return *static_cast<Space*>(argument); }

bool read_stack(const StackCopy& stack, Address address, void* out, std::size_t size) {
  if (address < stack.base || address - stack.base > stack.bytes.size()) return false;
  const std::size_t offset = address - stack.base;
  if (size > stack.bytes.size() - offset) return false;
  std::memcpy(out, stack.bytes.data() + offset, size);
  return true;
}

int find_proc_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t* info, int need_unwind_info,
                   void* argument) {
  Space& space = space_of(argument);
  const Module* const module = space.modules.at(ip);
  const auto none = [&] {
    space.no_info_ip = ip;
    return -UNW_ENOINFO;
  };
  if (module == nullptr || module->state != Module::State::usable) return none();
  const auto range = module->image->eh_frame_hdr();
  EhFrameHdr header;
  if (!range || range->size < sizeof header ||
      !module->image->read(range->address, &header, sizeof header) || header.version != 1 ||
      header.eh_frame_encoding != kPcRelativeSigned4 || header.count_encoding != kUnsigned4 ||
      header.table_encoding != kDataRelativeSigned4 ||
      header.count > (range->size - sizeof header) / kTableEntrySize) {
    return none();
  }
  unw_dyn_info_t table;
  std::memset(&table, 0, sizeof table);
  table.format = UNW_INFO_FORMAT_REMOTE_TABLE;
  table.start_ip = module->loaded.lo;
  table.end_ip = module->loaded.hi;
  table.u.rti.segbase = module->loaded.bias + range->address;
  table.u.rti.table_data = table.u.rti.segbase + sizeof header;
  table.u.rti.table_len = header.count * kTableEntrySize / sizeof(unw_word_t);
  const int result =
      UNW_OBJ(dwarf_search_unwind_table)(as, ip, &table, info, need_unwind_info, argument);
  return result < 0 ? none() : result;
}

// The unwinder keeps what it found in pools of its own.
void put_unwind_info(unw_addr_space_t, unw_proc_info_t*, void*) {}

int no_dynamic_list(unw_addr_space_t, unw_word_t*, void*) { return -UNW_ENOINFO; }

int access_memory(unw_addr_space_t, unw_word_t address, unw_word_t* value, int write,
                  void* argument) {
  if (write != 0) return -UNW_EREADONLYREG;
  Space& space = space_of(argument);
  if (read_stack(space.stack, address, value, sizeof *value)) return 0;
  if (space.modules.read(address, value, sizeof *value)) return 0;
  // The last bytes of a segment, read as a part of a word.
  for (std::size_t size = sizeof *value - 1; size > 0; --size) {
    *value = 0;
    if (space.modules.read(address, value, size)) return 0;
  }
  *value = 0;
  // Writable data of a module: tables refer to it for the personality routine alone, which the
  // unwinder looks up and we do not need.
  if (const Module* const module = space.modules.at(address)) {
    return module->state == Module::State::usable ? 0 : -UNW_EINVAL;
  }
  if (address >= space.stack.base) space.left_the_copy = true;
  return -UNW_EINVAL;
}

// The name that the event gives a register; null: not captured. Only what a function must preserve
// was: unwinding starts inside a function that has called the capture.
const char* register_name(unw_regnum_t number) {
  switch (number) {
#if defined(__x86_64__)
    case UNW_X86_64_RIP:
      return "ip";
    case UNW_X86_64_RSP:
      return "sp";
    case UNW_X86_64_RBP:
      return "bp";
    case UNW_X86_64_RBX:
      return "bx";
    case UNW_X86_64_R12:
      return "r12";
    case UNW_X86_64_R13:
      return "r13";
    case UNW_X86_64_R14:
      return "r14";
    case UNW_X86_64_R15:
      return "r15";
#elif defined(__aarch64__)
    case UNW_AARCH64_PC:
      return "ip";
    case UNW_AARCH64_SP:
      return "sp";
    case UNW_AARCH64_X29:
      return "fp";
    case UNW_AARCH64_X30:
      return "lr";
    case UNW_AARCH64_X19:
      return "x19";
    case UNW_AARCH64_X20:
      return "x20";
    case UNW_AARCH64_X21:
      return "x21";
    case UNW_AARCH64_X22:
      return "x22";
    case UNW_AARCH64_X23:
      return "x23";
    case UNW_AARCH64_X24:
      return "x24";
    case UNW_AARCH64_X25:
      return "x25";
    case UNW_AARCH64_X26:
      return "x26";
    case UNW_AARCH64_X27:
      return "x27";
    case UNW_AARCH64_X28:
      return "x28";
#endif
    default:
      return nullptr;
  }
}

int access_register(unw_addr_space_t, unw_regnum_t number, unw_word_t* value, int write,
                    void* argument) {
  if (write != 0) return -UNW_EREADONLYREG;
  const char* const name = register_name(number);
  *value = name == nullptr ? 0 : space_of(argument).stack.at(name);
  return 0;
}

int access_float(unw_addr_space_t, unw_regnum_t, unw_fpreg_t*, int, void*) { return -UNW_EBADREG; }
int no_resume(unw_addr_space_t, unw_cursor_t*, void*) { return -UNW_EINVAL; }
int no_name(unw_addr_space_t, unw_word_t, char*, std::size_t, unw_word_t*, void*) {
  return -UNW_ENOINFO;
}

class AddressSpace {
 public:
  AddressSpace() {
    unw_accessors_t accessors;
    std::memset(&accessors, 0, sizeof accessors);
    accessors.find_proc_info = find_proc_info;
    accessors.put_unwind_info = put_unwind_info;
    accessors.get_dyn_info_list_addr = no_dynamic_list;
    accessors.access_mem = access_memory;
    accessors.access_reg = access_register;
    accessors.access_fpreg = access_float;
    accessors.resume = no_resume;
    accessors.get_proc_name = no_name;
    space_ = unw_create_addr_space(&accessors, 0);
    // The same address is another function in the next event.
    if (space_ != nullptr) unw_set_caching_policy(space_, UNW_CACHE_NONE);
  }
  ~AddressSpace() {
    if (space_ != nullptr) unw_destroy_addr_space(space_);
  }
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;
  unw_addr_space_t get() const { return space_; }

 private:
  unw_addr_space_t space_;
};

std::string module_problem(ModuleMap& modules, Address ip) {
  const Module* const module = modules.at(ip);
  if (module == nullptr) return fmt::format("{:#x} is in no module", ip);
  switch (module->state) {
    case Module::State::changed:
      return fmt::format("{} is another build than the one that ran", module->loaded.path);
    case Module::State::missing:
      return fmt::format("{} cannot be read: {}", module->loaded.path, module->why);
    default:
      return fmt::format("{} has no unwind information for it", module->loaded.path);
  }
}

// Where a frame could not be left: the reason that the reader can do something about comes first.
std::string why_ended(const Space& space, Address ip) {
  if (space.left_the_copy) return "the copy of the stack ends here";
  if (space.no_info_ip != 0) return module_problem(space.modules, space.no_info_ip);
  return fmt::format("the frame at {:#x} cannot be unwound", ip);
}

}  // namespace

void note_signal(unw_cursor_t& cursor, std::vector<RawFrame>& frames) {
  const std::size_t last = frames.size() - 1;
#if defined(__x86_64__)
  // Said of the frame that was interrupted: the one before it is the code that a handler returns
  // to.
  if (last == 0 || unw_is_signal_frame(&cursor) <= 0) return;
  RawFrame& trampoline = frames[last - 1];
#else
  RawFrame& trampoline = frames[last];
  if (last > 0 && frames[last - 1].signal) frames[last].exact = true;
  if (unw_is_signal_frame(&cursor) <= 0) return;
#endif
  // Neither is the return address of a call.
  trampoline.signal = true;
  trampoline.exact = true;
  frames[last].exact = true;
}

RawStack unwind(const StackCopy& stack, ModuleMap& modules) {
  RawStack out;
  const Address first_ip = stack.at("ip");
  if (first_ip == 0) {
    out.ended = "no registers were captured";
    return out;
  }
  out.frames.push_back({first_ip, stack.at("sp"), true, false, false});

  static const AddressSpace address_space;
  Space space{stack, modules};
  unw_cursor_t cursor;
  if (address_space.get() == nullptr ||
      unw_init_remote(&cursor, address_space.get(), &space) != 0) {
    out.ended = "the unwinder could not be set up";
    return out;
  }
  while (out.frames.size() < kMaxFrames) {
    const RawFrame& inner = out.frames.back();
    space.no_info_ip = 0;
    space.left_the_copy = false;
    const int step = unw_step(&cursor);
    unw_word_t ip = 0;
    unw_word_t sp = 0;
    if (step > 0) {
      unw_get_reg(&cursor, UNW_REG_IP, &ip);
      unw_get_reg(&cursor, UNW_REG_SP, &sp);
    }
    // Return address 0 is how the outermost frame of a thread is marked.
    if (step <= 0 || ip == 0) {
      if (step < 0 || space.no_info_ip != 0) out.ended = why_ended(space, inner.ip);
      break;
    }
    const bool guessed = space.no_info_ip != 0;
    if (sp <= inner.sp || (guessed && modules.at(ip) == nullptr)) {
      out.ended = why_ended(space, inner.ip);
      break;
    }
    out.frames.push_back({ip, sp, false, guessed, false});
    note_signal(cursor, out.frames);
  }
  if (out.frames.size() == kMaxFrames) {
    out.ended = fmt::format("only the {} innermost frames are shown", kMaxFrames);
  }
  return out;
}

}  // namespace forkmend::command
