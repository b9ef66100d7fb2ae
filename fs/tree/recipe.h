#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "store/layout/layout.h"

namespace ollamafs {

class Tree;
struct Node;

// How the content of a file of the view is put together: a pure function of the tree and the node,
// called when the file is opened. Blobs that the layout names must be in the tree's catalog. Throws
// std::bad_alloc, or std::system_error if the file cannot be put together.
using Recipe = Layout (*)(const Tree& tree, const Node& node);

// The text of a file that is made when it is first asked for, by stat(2) as well: its size is part
// of what it shows. Also a pure function of the tree and the node.
using TextRecipe = std::string (*)(const Tree& tree, const Node& node);

// The same of a text that needs more than the tree, which it then holds. One of no model may say
// something else at the next opening, in as many bytes.
using TextMaker = std::function<std::string(const Tree& tree, const Node& node)>;

// How many bytes such a text will have, where that can be told without opening a blob.
using TextSize = std::function<std::uint64_t(const Tree& tree, const Node& node)>;

// Any content that is made when it is first asked for, of whatever the function holds. Nothing: it
// cannot be had, and the file cannot be opened.
using LateContent = std::function<std::optional<Layout>(const Tree& tree, const Node& node)>;

}  // namespace ollamafs
