// The version, for the report and the command.
#pragma once

#ifndef FORKMEND_VERSION
#define FORKMEND_VERSION "0.1.0"
#endif
