// The version of the Python package that an extension module belongs to.
//
// Promises: read from the name of the package's *.dist-info directory, with raw system calls; empty
// where there is none (a system library, an egg). Only when a report is written.
#pragma once

#include <string_view>

#include "shim/base/text.h"

namespace forkmend::package {

// …/site-packages/statsig_python_core/statsig_python_core.abi3.so → "0.5.0"
void version_of(std::string_view dso_path, TextSpan& out);

// Whether a comma-separated list of versions holds one.
bool listed(std::string_view versions, std::string_view version);

}  // namespace forkmend::package
