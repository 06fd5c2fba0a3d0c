// What to do about a lockup: settings that help at once, changes of the program that cure it.
//
// Promises: only what was tested for the case or the profile is offered; what a fix risks stands
// beside it.
#pragma once

#include "shim/base/message.h"
#include "shim/reporting/json.h"
#include "shim/waiting/proof.h"

namespace forkmend::fixes {

void write(Json& json, const Judgement& judgement);         // "fixes":[…]
void append(MessageSpan& out, const Judgement& judgement);  // FIX NOW and FIX CODE lines

}  // namespace forkmend::fixes
