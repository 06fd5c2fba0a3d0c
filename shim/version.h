// The version: the one place where it stands. The report, the command and the Makefile take it from
// here.
#pragma once

#define FORKMEND_VERSION "0.1.0"
