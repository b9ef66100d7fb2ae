#pragma once

#include <set>
#include <string>
#include <vector>

#include "store/catalog/catalog.h"

namespace ollamafs {

// Of the blobs that the models need those that a target has, by what --have names: a models folder;
// or a file, "-" for standard input, with a digest a line in any of its spellings, also as a path
// of the blob's file. Names of unfinished downloads in it count for nothing. A blob of a folder
// counts if it has the right size.
//
// Throws CommandError: not_found if there is nothing of that name, usage if a line is no digest.
[[nodiscard]] std::set<Digest> had_blobs(const std::string& have,
                                         const std::vector<const Model*>& models);

}  // namespace ollamafs
