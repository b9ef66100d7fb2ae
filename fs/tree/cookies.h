#pragma once

#include <span>

#include "fs/tree/tree.h"

namespace ollamafs {

// Gives the entries of a directory their cookies. Names that `previous` has keep theirs; the others
// get some between those of their neighbours. Both are sorted by name. Where there is no room left
// between two neighbours, which takes dozens of names that came one after the other at one place,
// the whole directory is numbered anew; a listing that is under way then may see a name twice or
// not at all.
void assign_cookies(std::span<Dentry> entries, std::span<const Dentry> previous);

}  // namespace ollamafs
