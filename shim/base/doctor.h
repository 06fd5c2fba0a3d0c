// FORKMEND_DOCTOR=1: the library says what works in this process and ends it, for `forkmend
// doctor`. Lines on stdout: "forkmend doctor: KEY: ok|off REASON". Never set it for a server. Not
// where the shim does not act (set-user-id, FORKMEND=off, FORKMEND_ONLY, a sanitizer): the program
// runs as it would without.
#pragma once

namespace forkmend::doctor {

bool requested(char** environment);
[[noreturn]] void run();

}  // namespace forkmend::doctor
