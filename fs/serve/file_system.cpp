#include "fs/serve/file_system.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <span>
#include <utility>

#include "fs/tree/model_notices.h"
#include "fs/tree/snapshot_diff.h"

namespace ollamafs {
namespace {

using What = CacheNotice::What;

// How long a listing waits at the most for the version that the store has by now.
constexpr std::chrono::seconds kLongestRenewal{1};

// And for a view that nobody has looked into before: of 10,000 models it takes a third of a second.
constexpr std::chrono::seconds kLongestWaking{20};

// How many listings wait for that at the same time.
constexpr unsigned kMostWaiting = 3;

// Whether an error says what is so, rather than that something could not be had.
bool is_an_answer(int error) noexcept {
  constexpr int answers[] = {ENOENT, EROFS,  EISDIR,       ENOTDIR, ENODATA, EOPNOTSUPP,
                             ERANGE, ENOSYS, ENAMETOOLONG, ESTALE,  EINVAL};
  return std::ranges::find(answers, error) != std::end(answers);
}

// A page about all models has gaps where a blob could not be read, which it has no more when it is
// opened the next time.
Caching caching_of(const Node& file, const OpenLayout& content) {
  if (file.kind == NodeKind::archive) return Caching::bypass;
  if (file.kind == NodeKind::late && file.model == Node::kNone) return Caching::begin;
  return content.enter_cache();
}

}  // namespace

FileSystem::FileSystem(const StoreDir& store, std::shared_ptr<const Tree> tree,
                       const BlobLimits& limits, Health::OnBadBlob on_bad_blob, OnStale on_stale,
                       std::chrono::milliseconds hold, Verify verify)
    : store_{store},
      nodes_{std::move(tree)},
      pool_{store, limits, verify},
      on_stale_{std::move(on_stale)},
      health_{nodes_, pool_, guard_, std::move(on_bad_blob), on_stale_},
      files_{pool_, health_},
      pins_{pool_, hold} {}

void FileSystem::publish(std::shared_ptr<const Tree> tree) {
  const auto before = nodes_.current();
  const auto after = std::move(tree);
  // What can fail comes first: what is shown, the kernel must be told of.
  const auto change = guard_.prepare(before->catalog(), after->catalog());
  auto notices = notices_between(*before, *after);
  notices.splice(notices.end(), blob_listings_of(*after, change.models));
  notices.push_back({What::told, change.number});
  guard_.commit(change);
  nodes_.publish(after);
  health_.changed(*before, *after);
  on_stale_(std::move(notices));
  const std::scoped_lock lock{published_mutex_};
  published_.notify_all();
}

void FileSystem::set_outdated(std::set<std::string> models) {
  const auto tree = nodes_.current();
  CacheNotices notices;
  for (const std::string& model : models) {
    if (const Node* const directory = tree->model_directory(model))
      notices.push_back({What::content, directory->ino});
  }
  pins_.set_outdated(std::move(models));
  if (!notices.empty()) on_stale_(std::move(notices));
}

// The same directory in a tree where its view is no more asleep; empty if none came. All requests
// may wait here at once: who makes the tree needs none of them answered.
NodeRef FileSystem::awake(const NodeRef& directory) {
  if (!directory->asleep || !directory.tree->stand_in_name(*directory).empty()) return directory;
  wanted_views_.want(*directory->asleep);
  NodeRef now;
  std::unique_lock lock{published_mutex_};
  published_.wait_for(lock, kLongestWaking, [&] {
    now = nodes_.find(directory->ino);
    return now && !now->asleep;
  });
  return now && !now->asleep ? now : NodeRef{};
}

NodeRef FileSystem::find_by_handle(InodeNumber ino) {
  const ViewSet asleep = nodes_.current()->asleep();
  if (NodeRef node = find(ino); node || asleep.empty()) return node;
  for (const ViewName& named : kViewNames) {
    if (asleep.has(named.view)) wanted_views_.want(named.view);
  }
  std::unique_lock lock{published_mutex_};
  published_.wait_for(lock, kLongestWaking, [&] { return nodes_.current()->asleep().empty(); });
  return find(ino);
}

NodeRef FileSystem::lookup(const NodeRef& parent, std::string_view name, std::error_code& ec) {
  ec.clear();
  const NodeRef directory = name == "." || name == ".." ? parent : awake(parent);
  if (!directory) {
    ec = io_error();
    return {};
  }
  NodeRef node{directory.tree, directory.tree->lookup(*directory, name)};
  if (!node) {
    ec = std::make_error_code(std::errc::no_such_file_or_directory);
  }
  const std::string_view stand_in = health_.stand_in_name(directory);
  if (stand_in.empty() || name == "." || name == "..") return node;
  ec = name == stand_in ? std::error_code{} : io_error();
  return {directory.tree, ec ? nullptr : &directory.tree->stand_in()};
}

FileSystem::Listing FileSystem::list(NodeRef& directory, bool begins, const Tool& tool) noexcept {
  if (!directory->is_directory()) return {};
  if (begins) begin_listing(directory, tool);
  if (directory->asleep) {
    if (NodeRef now = awake(directory)) directory = std::move(now);
    if (directory->asleep) return {true, Tree::kBroken};
  }
  if (is_gone(directory)) return {true, Tree::kBroken};
  return {true, health_.stand_in_name(directory)};
}

// Whether it is of a model that went while it was listed: some tools, as OpenSSH's, take a listing
// that fails for its end, and would have half a model.
bool FileSystem::is_gone(const NodeRef& directory) const noexcept {
  return directory.tree->is_model_directory(*directory) && !nodes_.find(directory->ino);
}

void FileSystem::begin_listing(NodeRef& directory, const Tool& tool) {
  const Model* const model = directory.tree->model(*directory);
  if (!model) return;
  if (directory.tree->model_directory(model->view_name) == directory.node) {
    renew(directory);
  } else if (directory.tree->is_blobs_directory(*directory) && guard_.watches(*model) &&
             !health_.is_broken(directory)) {
    guard_.listed(tool.process(), *model);
  }
}

// Who lists a model's directory begins with the model. If nobody is in the midst of the version
// that is shown, this is the moment to show what the store has. The kernel has found the directory
// already and goes on by its number, which so stands for the new one. Of a model that is removed
// there is nothing to be had: see list().
void FileSystem::renew(NodeRef& directory) try {
  const Model& model = *directory.tree->model(*directory);
  if (!pins_.release(model.view_name)) return;
  const auto is_still_shown = [&] {
    const Model* const now = nodes_.current()->catalog().at_view_name(model.view_name);
    return now && now->manifest->digest == model.manifest->digest;
  };
  {
    std::unique_lock lock{published_mutex_};
    if (waiting_ == kMostWaiting) return;  // the others are needed to answer requests
    ++waiting_;
    published_.wait_for(lock, kLongestRenewal, [&] { return !is_still_shown(); });
    --waiting_;
  }
  if (is_still_shown()) return;
  nodes_.lead_on(directory->ino, model.view_name);
  if (NodeRef now = nodes_.find(directory->ino)) directory = std::move(now);
} catch (const std::bad_alloc&) {  // the old version is listed
}

void FileSystem::answered_listing(const NodeRef& directory, InodeNumber asked) noexcept try {
  const Tree& tree = *directory.tree;
  const Model* const model = tree.model(*directory);
  if (!model) return;
  const bool must_be_seen =
      (tree.is_blobs_directory(*directory) && guard_.watches(*model)) ||
      (tree.is_model_directory(*directory) && pins_.is_outdated(model->view_name));
  // To forget a name, whether it knows it or not, the kernel waits until this listing has been
  // taken in: only then is there something to forget.
  if (must_be_seen) on_stale_({{What::entry, asked, "."}, {What::content, asked}});
} catch (const std::bad_alloc&) {  // the next may not be seen, and is refused the manifest then
}

std::unique_ptr<OpenFile> FileSystem::open_file(const NodeRef& file, std::error_code& ec,
                                                const Tool& tool) {
  ec.clear();
  if (file->is_directory()) {
    ec = std::make_error_code(std::errc::is_a_directory);
  } else if (file->kind == NodeKind::stand_in || health_.is_broken(file)) {
    ec = io_error();
  }
  if (ec) return nullptr;
  const bool is_blob = file->kind == NodeKind::blob;
  const bool is_manifest = file->kind == NodeKind::manifest;
  const pid_t process = is_blob || is_manifest ? tool.process() : 0;
  if (is_manifest) ec = may_have(file, process);
  if (ec) return nullptr;
  auto content = files_.content_of(file, ec);
  if (ec) return nullptr;
  auto use = is_blob ? pins_.open(file.tree->catalog(), file->source, process) : Pins::Use{};
  auto opened = std::make_unique<OpenFile>(nodes_.pin(file), std::move(content), std::move(use));
  opened->caching = caching_of(*file, *opened->content);
  return opened;
}

// Whoever is refused may list the blobs anew, which must be seen.
std::error_code FileSystem::may_have(const NodeRef& manifest, pid_t process) {
  if (process == kUnknown || guard_.refuses(process, *manifest.tree->model(*manifest))) {
    on_stale_(blob_listings_of(*manifest.tree, std::span{&manifest->model, 1}));
    return io_error();
  }
  return health_.check_blobs(manifest);
}

void FileSystem::request_failed(const NodeRef& node, const Tool& tool, int error) noexcept try {
  if (is_an_answer(error)) return;
  // The first two are all of it, and of a late file nothing goes into a copy of the model.
  if (node->kind == NodeKind::manifest || node->kind == NodeKind::archive ||
      node->kind == NodeKind::late) {
    return;
  }
  const auto models = node.tree->catalog().models();
  std::span<const std::uint32_t> users{&node->model, node->model == Node::kNone ? 0u : 1u};
  if (node->kind == NodeKind::blob) users = node.tree->catalog().users(node->source);
  if (users.empty()) return;
  // Of those too that are broken: they may be whole when the process comes to the manifest.
  std::vector<const std::string*> names;
  names.reserve(users.size());
  const pid_t process = tool.process();
  if (process == kUnknown) return guard_.missed_something();
  for (const std::uint32_t user : users) names.push_back(&models[user].view_name);
  if (guard_.missed(process, names)) on_stale_(blob_listings_of(*node.tree, users));
} catch (...) {
  guard_.missed_something();
}

std::string FileSystem::attribute(const NodeRef& node, std::string_view name,
                                  std::error_code& ec) const {
  ec.clear();
  if (name == kStatusAttribute && status_ && node.node == &node.tree->root()) return status_();
  auto value = ollamafs::attribute(node, name, health_);
  // Of other namespaces than user: ls(1) remembers that for the whole mount, and asks no more.
  if (!value) ec = {name.starts_with("user.") ? ENODATA : EOPNOTSUPP, std::generic_category()};
  return std::move(value).value_or("");
}

struct statvfs FileSystem::statistics(std::error_code& ec) const {
  ec.clear();
  struct statvfs st {};
  if (::fstatvfs(store_.folder()->get(), &st) != 0) ec = {errno, std::generic_category()};
  st.f_bfree = st.f_bavail = 0;
  st.f_files = st.f_ffree = st.f_favail = 0;  // no count of inodes: `df -i` says nothing
  st.f_namemax = NAME_MAX;
  return st;
}

}  // namespace ollamafs
