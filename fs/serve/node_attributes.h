#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/serve/health.h"
#include "fs/tree/node_table.h"

namespace ollamafs {

// What a node says about itself (docs/view.md §2).

// What stat(2) shows. Throws std::bad_alloc if it is a text that cannot be made.
[[nodiscard]] struct stat stat_of(const Tree& tree, const Node& node);

// What of it a listing tells: the number and the kind.
[[nodiscard]] struct stat listed_stat_of(const Node& node) noexcept;

// What the root directory says of the mount as a whole, to who asks for it by this name. It is not
// among the names: it changes from moment to moment, and `cp -a` or `rsync -X` would copy it.
inline constexpr std::string_view kStatusAttribute = "user.ollamafs.status";

// False for a directory that belongs to no model, as the root and models/: it has no list, not even
// an empty one. The `ls` of coreutils 9.7 asks each file for its list, which the kernel does not
// keep, until one answers so: it takes that for an answer about the whole mount.
[[nodiscard]] bool can_list_attributes(const NodeRef& node) noexcept;

// The names of its extended attributes.
[[nodiscard]] std::vector<std::string> attribute_names(const NodeRef& node);

// The value of one; nothing if there is none of that name.
[[nodiscard]] std::optional<std::string> attribute(const NodeRef& node, std::string_view name,
                                                   const Health& health);

}  // namespace ollamafs
