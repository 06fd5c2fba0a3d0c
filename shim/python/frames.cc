#include "shim/python/frames.h"

#include "shim/base/text.h"
#include "shim/python/capi.h"

namespace forkmend::python::frames {
namespace {

// Between os.fork and the program's own call lie at most a dozen frames (concurrent.futures over
// multiprocessing); twice that many are looked at.
constexpr int kMostFrames = 24;

// 3.8 has attributes only; later versions would raise an audit event for f_code.
PyObject* code_of(PyObject* frame) {
  return api.PyFrame_GetCode != nullptr ? api.PyFrame_GetCode(frame)
                                        : api.PyObject_GetAttrString(frame, "f_code");
}

PyObject* caller_of(PyObject* frame) {
  return api.PyFrame_GetBack != nullptr ? api.PyFrame_GetBack(frame)
                                        : api.PyObject_GetAttrString(frame, "f_back");
}

// The text of a str, valid as long as the object is; empty for anything else.
std::string_view text_of(const Reference& object) {
  ssize_t size = 0;
  const char* text = object ? api.PyUnicode_AsUTF8AndSize(object.get(), &size) : nullptr;
  if (text == nullptr) {
    api.PyErr_Clear();
    return {};
  }
  return {text, static_cast<std::size_t>(size)};
}

// The end of a path says more than its beginning.
template <std::size_t Size>
void copy_end(char (&to)[Size], std::string_view from) {
  if (from.size() > Size - 1) from.remove_prefix(from.size() - (Size - 1));
  copy_text(to, from);
}

}  // namespace

bool is_standard_library(std::string_view file) {
  if (file.substr(0, 8) == "<frozen ") return true;
  if (file.find("/lib/python3.") == std::string_view::npos &&
      file.find("/lib64/python3.") == std::string_view::npos)
    return false;
  return file.find("/site-packages/") == std::string_view::npos &&
         file.find("/dist-packages/") == std::string_view::npos;
}

void note_current(forking::Place& place) {
  place.python_file[0] = '\0';
  PyObject* innermost = api.PyEval_GetFrame();  // borrowed
  if (innermost == nullptr) return;
  api.Py_IncRef(innermost);
  Reference frame(innermost);
  for (int i = 0; i < kMostFrames && frame; i++) {
    const Reference code(code_of(frame.get()));
    if (!code) break;
    const Reference file(api.PyObject_GetAttrString(code.get(), "co_filename"));
    const Reference function(api.PyObject_GetAttrString(code.get(), "co_name"));
    const std::string_view path = text_of(file);
    if (path.empty()) break;  // None: the frame before the first has no code
    const bool is_own = !is_standard_library(path);
    if (i == 0 || is_own) {
      copy_end(place.python_file, path);
      copy_text(place.python_function, text_of(function));
      place.python_line = api.PyFrame_GetLineNumber(frame.get());
    }
    if (is_own) break;
    frame.reset(caller_of(frame.get()));
  }
  api.PyErr_Clear();
}

}  // namespace forkmend::python::frames
