// What every interposer uses. The files of this folder hold the exported symbols and nothing else:
// one file per family, three lines per symbol; the logic is in the engine.
//
// An interposer forwards at once while quiet() says that there is nothing to do, with a tail call,
// so that it costs a load, a predicted branch and an indirect jump.
#pragma once

#include "shim/base/armed.h"
#include "shim/base/compiler.h"
#include "shim/base/real.h"
