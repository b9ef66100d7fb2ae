#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace ollamafs {

// Prints a JSON document on the standard output, for machines. Names of stray files may hold any
// byte, and control characters that JSON lets pass raw: what is printed is ASCII, and bytes that
// are no UTF-8 are replaced.
void print_json(const nlohmann::ordered_json& json);

// To be called when all is printed. Throws CommandError with this message if some of it could not
// be written: the disk is full, say.
void end_output(const std::string& failure = "the output could not be written");

}  // namespace ollamafs
