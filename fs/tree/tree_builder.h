#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "fs/tree/tree.h"

namespace ollamafs {

// What the nodes of a tree show that does not come from the catalog.
struct TreeOptions {
  std::optional<uid_t> uid;  // instead of the owner of the store's file
  std::optional<gid_t> gid;
  uid_t store_uid = 0;  // owner of the store's folder: of everything that belongs to no model
  gid_t store_gid = 0;

  // The root directory alone may be narrower than 0755, and then it has this owner (docs/view.md
  // §6).
  struct Root {
    mode_t permissions = 0755;
    uid_t uid = 0;
    gid_t gid = 0;
  };
  std::optional<Root> root;

  ViewSet shown = ViewSet::all();  // others are not there at all
  ViewSet awake;                   // of those that sleep until somebody looks into them

  // Archives of at least so many bytes are shown in parts of this size as well (Tree::split()).
  std::uint64_t split = kSplit;

  // Where late files are read that are made of blobs, if there are to be any. Outlives every tree.
  const StoreDir* store = nullptr;
};

// Puts a Tree together. A view is a function that calls it for each model of a catalog.
class TreeBuilder {
 public:
  using NodeIndex = std::uint32_t;

  // The catalogs see Tree. `previous` is the tree that this one follows on, if there is one: names
  // that it has in the same directory keep their cookies. `numbers` must not have given out any.
  TreeBuilder(std::shared_ptr<const Catalog> catalog, std::shared_ptr<const Catalog> stored,
              const TreeOptions& options, const Tree* previous = nullptr,
              InodeNumbers numbers = InodeNumbers{});

  static constexpr NodeIndex kRoot = 0;

  // The directory `name` of `parent` that only leads to models, made at the first call. It is as
  // new as the newest of its entries.
  NodeIndex group(NodeIndex parent, std::string_view name);

  // The group of a view that may sleep: as new as the newest model, asleep or awake.
  NodeIndex view_group(NodeIndex parent, std::string_view name);

  // The same of a view that nobody has looked into: empty.
  void sleeping_group(NodeIndex parent, std::string_view name, View view);

  // Makes the groups of all but the last component of `path` and returns the parent of that one.
  // `path` is left with the last component.
  NodeIndex groups_of(NodeIndex parent, std::string_view& path);

  // The directories and files of a model. `identity` tells the node from all others of this model
  // and of every other; the model's name and digest must be part of it. Their time is the
  // manifest's.
  NodeIndex model_directory(NodeIndex parent, std::string_view name, std::uint32_t model,
                            const std::string& identity, bool late = false);
  struct Content {
    NodeKind kind;       // manifest or archive, whose `model` is one of stored()
    std::uint64_t size;  // bytes
    Recipe recipe;
    std::uint32_t source = Node::kNone;  // see Node
  };
  NodeIndex model_file(NodeIndex parent, std::string_view name, std::uint32_t model,
                       const Content& content, const std::string& identity);

  // A file of a model that is made when it is first asked for.
  NodeIndex late_model_file(NodeIndex parent, std::string_view name, std::uint32_t model,
                            LateContent make, const std::string& identity);

  // The same, if it is a text.
  NodeIndex model_text(NodeIndex parent, std::string_view name, std::uint32_t model,
                       TextRecipe recipe, const std::string& identity);

  // Another name for the one node of a blob: an index into Catalog::blobs(), of a good blob, as all
  // of a whole model are.
  void blob(NodeIndex parent, std::string_view name, std::uint32_t blob);

  // A file with this text in it. Its number and its time are functions of the text.
  void text(NodeIndex parent, std::string_view name, std::string text);

  // A file about all models, as new as the newest of them, whose text is made when it is first
  // asked for. `identity` must be another for another text. With `size_of` who asks only for its
  // size has it by that; a text that is made with another size then is refused.
  void late_text(NodeIndex parent, std::string_view name, TextMaker make,
                 const std::string& identity, TextSize size_of = {});

  // The same directory of a model in the previous tree, or null. What is below it has the names
  // that it had then, if they are functions of what its identity is made of.
  [[nodiscard]] const Node* before(NodeIndex directory) const noexcept;
  [[nodiscard]] const Tree* previous() const noexcept { return previous_; }

  [[nodiscard]] const TreeOptions& options() const noexcept { return options_; }
  [[nodiscard]] const Catalog& catalog() const noexcept { return tree_->catalog(); }
  [[nodiscard]] const Catalog& stored() const noexcept { return tree_->stored(); }

  // The tree. Throws std::logic_error if a directory has two entries of one name.
  [[nodiscard]] std::shared_ptr<const Tree> finish() &&;

 private:
  struct Link {
    std::string_view name;
    NodeIndex parent;
    NodeIndex node;
  };

  struct BlobNode {
    NodeIndex node = Node::kNone;  // kNone: not made yet
    std::string_view name{};       // the last of its names: nearly always the only one
  };

  // `ino` is the number that was given out last: a node's index is its number's place among them.
  NodeIndex add(NodeKind kind, InodeNumber ino, uid_t uid, gid_t gid);
  void add_late(NodeIndex parent, std::string_view name, const std::string& identity,
                std::int64_t mtime, LateContent make, TextSize size_of = {});
  void add_stand_in();
  void link(NodeIndex parent, std::string_view name, NodeIndex node);
  // The same with a name that is kept already.
  void link_kept(NodeIndex parent, std::string_view name, NodeIndex node);
  void place_entries();
  void sort_entries(const Node& directory);
  void assign_cookies();
  void date_groups();
  void count_links();
  void keep_sizes();

  TreeOptions options_;
  const Tree* previous_;
  InodeNumbers numbers_;
  std::shared_ptr<Tree> tree_;
  std::vector<Link> links_;
  std::unordered_map<std::string, NodeIndex> groups_;  // by path
  std::unordered_set<NodeIndex> view_groups_;
  std::unordered_map<NodeIndex, std::string> group_paths_;  // the other way round
  std::vector<BlobNode> blob_nodes_;                        // by blob index
};

}  // namespace ollamafs
