#include "fs/serve/file_system.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <span>
#include <utility>

#include "fs/tree/model_notices.h"
#include "fs/tree/snapshot_diff.h"
#include "store/folder/read_file.h"
#include "store/layout/archive.h"

namespace ollamafs {
namespace {

const std::error_code kIoError = std::make_error_code(std::errc::io_error);

Layout layout_of(const NodeRef& file) {
  Layout::Builder builder;
  switch (file->kind) {
    case NodeKind::archive:
      return archive_layout(*file.tree->model(*file));
    case NodeKind::manifest:
      builder.generated(file.tree->model(*file)->manifest->bytes);
      break;
    case NodeKind::text:
      builder.generated(file.tree->text(*file));
      break;
    case NodeKind::blob:
      builder.blob(file.tree->catalog().blobs()[file->source].digest, file->size);
      break;
    case NodeKind::directory:
      break;
  }
  return std::move(builder).finish();
}

// The catalog's entries of the blobs that a file is read from, in the order of its layout.
std::vector<const Blob*> blobs_of(const NodeRef& file) {
  const auto blobs = file.tree->catalog().blobs();
  std::vector<const Blob*> result;
  if (file->kind == NodeKind::blob) result.push_back(&blobs[file->source]);
  if (file->kind == NodeKind::archive) {
    for (const std::uint32_t index : file.tree->model(*file)->blobs)
      result.push_back(&blobs[index]);
  }
  return result;
}

// Whether an error says what is so, rather than that something could not be had.
bool is_an_answer(int error) noexcept {
  constexpr int answers[] = {ENOENT, EROFS,  EISDIR,       ENOTDIR, ENODATA,
                             ERANGE, ENOSYS, ENAMETOOLONG, ESTALE,  EINVAL};
  return std::ranges::find(answers, error) != std::end(answers);
}

}  // namespace

FileSystem::FileSystem(const StoreDir& store, std::shared_ptr<const Tree> tree,
                       const BlobLimits& limits, OnBadBlob on_bad_blob, OnStale on_stale,
                       std::chrono::milliseconds hold, Verify verify)
    : store_{store},
      nodes_{std::move(tree)},
      pool_{store, limits, verify},
      pins_{pool_, hold},
      at_work_{hold},
      guard_{at_work_, hold},
      misses_{at_work_, hold},
      bad_blobs_{hold},
      on_bad_blob_{std::move(on_bad_blob)},
      on_stale_{std::move(on_stale)} {}

void FileSystem::publish(std::shared_ptr<const Tree> tree) {
  const auto before = nodes_.current();
  const auto after = std::move(tree);
  // What can fail comes first: what is shown, the kernel must be told of.
  auto notices = notices_between(*before, *after);
  gone_.changed(*before, *after);
  guard_.changed(before->catalog(), after->catalog());
  nodes_.publish(after);
  bad_blobs_.forget_changed(before->catalog(), after->catalog());
  on_stale_(std::move(notices));
}

NodeRef FileSystem::lookup(const NodeRef& directory, std::string_view name, std::error_code& ec,
                           const Tool& tool) {
  ec.clear();
  NodeRef node{directory.tree, directory.tree->lookup(*directory, name)};
  if (!node) {
    ec = std::make_error_code(std::errc::no_such_file_or_directory);
    const Model* model = directory.tree->model(*directory);
    if (model && guard_.is_watching() && guard_.missed(tool.process(), model->view_name, name))
      tell_of_beginning(directory);
  } else if (name != "." && name != ".." && is_broken(directory)) {
    ec = kIoError;
    return {};
  }
  return node;
}

struct stat FileSystem::attributes(const Node& node) noexcept {
  struct stat st {};
  st.st_ino = node.ino;
  st.st_mode = (node.is_directory() ? S_IFDIR : S_IFREG) | node.permissions;
  st.st_nlink = node.nlink;
  st.st_uid = node.uid;
  st.st_gid = node.gid;
  st.st_size = static_cast<off_t>(node.size);
  st.st_blocks = static_cast<blkcnt_t>((node.size + 511) / 512);
  st.st_mtim.tv_sec = st.st_ctim.tv_sec = st.st_atim.tv_sec = node.mtime;
  st.st_ctim.tv_nsec = node.change;
  return st;
}

bool FileSystem::is_broken(const NodeRef& node) const noexcept {
  const Model* model = node.tree->model(*node);
  return model && bad_blobs_.has_fault(*model);
}

// Who begins with a model, at its directory or its archive, finds out whether a shortage is over.
// Who is in the midst of it and has missed a blob must not: the manifest is refused to them.
void FileSystem::retry_shortages(const NodeRef& node) noexcept try {
  const Model* model = node.tree->model(*node);
  if (!model || (!node.tree->is_model_directory(*node) && node->kind != NodeKind::archive)) return;
  for (const std::uint32_t index : model->blobs) {
    const Blob& blob = node.tree->catalog().blobs()[index];
    if (!bad_blobs_.is_short(blob.digest)) continue;
    std::error_code ec;
    (void)pool_.open(blob, ec);
    if (!ec) bad_blobs_.end_shortage(blob.digest);
  }
} catch (...) {  // it is not over
}

// Who opens a manifest has read the blobs. Where the kernel read them by itself (passthrough, or
// its cache), nobody saw that one was cut short meanwhile; the manifest must not follow it.
void FileSystem::check_blobs(const NodeRef& manifest) {
  for (const std::uint32_t index : manifest.tree->model(*manifest)->blobs) {
    const Blob& blob = manifest.tree->catalog().blobs()[index];
    if (const auto ec = pool_.check(blob)) blob_failed(blob.digest, blob.identity, ec);
  }
}

// To a tool that got another version's blobs, or not all.
bool FileSystem::is_refused(const NodeRef& manifest, const Tool& tool) {
  const std::string& model = manifest.tree->model(*manifest)->view_name;
  const pid_t process = tool.process();
  return guard_.refuses(process, model) || misses_.has(process, model);
}

// Who lists the model anew from now on is seen to: the kernel must not do so from its memory.
void FileSystem::tell_of_beginning(const NodeRef& node) {
  on_stale_(listings_of(*node.tree, std::span{&node->model, 1}));
}

FileSystem::Listing FileSystem::list(const NodeRef& directory, bool begins,
                                     const Tool& tool) noexcept {
  if (!directory->is_directory()) return Listing::none;
  if (begins) {
    retry_shortages(directory);
    if (directory.tree->is_model_directory(*directory) &&
        (guard_.is_watching() || !misses_.is_empty())) {
      const std::string& model = directory.tree->model(*directory)->view_name;
      const pid_t process = tool.process();
      misses_.forget(process, model);
      guard_.begins(process, model);
    }
  }
  return is_broken(directory) ? Listing::names : Listing::whole;
}

std::unique_ptr<OpenFile> FileSystem::open_file(const NodeRef& file, std::error_code& ec,
                                                const Tool& tool) {
  ec.clear();
  retry_shortages(file);
  if (file->kind == NodeKind::manifest && !is_broken(file)) check_blobs(file);
  if (file->is_directory()) {
    ec = std::make_error_code(std::errc::is_a_directory);
  } else if (is_broken(file)) {
    ec = kIoError;
  } else if (file->kind == NodeKind::manifest && is_refused(file, tool)) {
    ec = kIoError;
    tell_of_beginning(file);
  }
  if (ec) return nullptr;
  auto content = content_of(file, ec);
  if (ec) return nullptr;
  std::optional<Pins::Use> use;
  if (file->kind == NodeKind::blob) {
    use.emplace(pins_.open(file.tree->catalog(), file->source));
  }
  auto opened = std::make_unique<OpenFile>(nodes_.pin(file), std::move(content), std::move(use));
  if (file->kind == NodeKind::blob) {
    const pid_t process = tool.process();
    opened->by_tool = at_work_.open(process);
    guard_.opened(process, file.tree->catalog().blobs()[file->source].digest);
  }
  opened->caching =
      file->kind == NodeKind::archive ? Caching::bypass : opened->content->enter_cache();
  return opened;
}

std::shared_ptr<const OpenLayout> FileSystem::content_of(const NodeRef& file, std::error_code& ec) {
  std::shared_ptr<const OpenLayout> known;
  {
    const std::scoped_lock lock{contents_mutex_};
    const auto it = contents_.find(file->ino);
    if (it != contents_.end()) known = it->second.lock();
  }
  // A blob's number is its digest's: after a publish another file may be behind it.
  if (known && known->reads(blobs_of(file)) && known->check().empty()) return known;
  auto content = open_layout(file, ec);
  if (ec) return nullptr;
  const std::scoped_lock lock{contents_mutex_};
  std::erase_if(contents_, [](const auto& entry) { return entry.second.expired(); });
  contents_.insert_or_assign(file->ino, content);
  return content;
}

std::shared_ptr<const OpenLayout> FileSystem::open_layout(const NodeRef& file,
                                                          std::error_code& ec) {
  std::vector<std::shared_ptr<const OpenBlob>> blobs;
  for (const Blob* blob : blobs_of(file)) {
    blobs.push_back(pool_.open(*blob, ec));
    if (!ec) continue;
    blob_failed(blob->digest, blob->identity, ec);
    if (!is_shortage(ec)) ec = kIoError;
    return nullptr;
  }
  return std::make_shared<const OpenLayout>(layout_of(file), std::move(blobs));
}

void FileSystem::gather(OpenFile& file, Gathered& out, std::size_t size, std::uint64_t offset,
                        std::error_code& ec) {
  ec.clear();
  const std::uint64_t total = file.content->layout().size();
  size = static_cast<std::size_t>(std::min<std::uint64_t>(size, total - std::min(offset, total)));
  if (const auto failure = file.content->gather(out, file.window, size, offset))
    ec = read_failed(*failure);
}

bool FileSystem::verify_on(const OpenLayout& content, std::size_t size, std::uint64_t offset,
                           std::error_code& ec) {
  constexpr std::uint64_t piece = 4u << 20;
  ec.clear();
  bool more = false;
  if (const auto failure = content.verify_on(size, offset, piece, more)) ec = read_failed(*failure);
  return more && !ec;
}

// Once per chunk, for the next two: asking costs something even if all of it is in memory.
std::uint64_t FileSystem::ahead_of(OpenFile& file, std::size_t size,
                                   std::uint64_t offset) noexcept {
  constexpr std::uint64_t chunk = 4u << 20;
  const std::uint64_t end = offset + size;
  const bool straight_on = file.next.exchange(end) == offset;
  return straight_on && (offset == 0 || offset / chunk != end / chunk) ? 2 * chunk : 0;
}

void FileSystem::find_fault(const OpenLayout& content, std::size_t size,
                            std::uint64_t offset) noexcept try {
  auto failures = content.check();
  if (failures.empty()) failures = content.read_again(size, offset);
  for (const auto& failure : failures) blob_failed(failure.blob, failure.file, failure.error);
} catch (...) {
  bad_blobs_.add_unknown();
}

void FileSystem::request_failed(const NodeRef& node, const Tool& tool, int error) noexcept try {
  if (is_an_answer(error)) return;
  if (node->kind == NodeKind::manifest || node->kind == NodeKind::archive) return;  // it is all
  const auto models = node.tree->catalog().models();
  std::span<const std::uint32_t> users{&node->model, node->model == Node::kNone ? 0u : 1u};
  if (node->kind == NodeKind::blob) users = node.tree->catalog().users(node->source);
  // Of those too that are broken: they may be whole when the tool comes to the manifest. But what
  // they list is told anew then.
  std::vector<const std::string*> names;
  bool any_whole = false;
  for (const std::uint32_t user : users) {
    names.push_back(&models[user].view_name);
    any_whole |= models[user].whole();
  }
  if (misses_.add(tool.process(), names) && any_whole) on_stale_(listings_of(*node.tree, users));
} catch (...) {
  bad_blobs_.add_unknown();
}

void FileSystem::directory_was_stale(InodeNumber directory, std::string_view name,
                                     const Tool& tool) noexcept try {
  if (!guard_.is_watching()) return;
  const auto view_name = gone_.model_missed(directory, name);
  if (!view_name || !guard_.missed_directory(tool.process(), *view_name)) return;
  const auto tree = nodes_.current();
  const auto models = tree->catalog().models();
  const auto it = std::ranges::lower_bound(models, *view_name, {}, &Model::view_name);
  if (it == models.end() || it->view_name != *view_name) return;
  const auto index = static_cast<std::uint32_t>(it - models.begin());
  on_stale_(listings_of(*tree, std::span{&index, 1}));
} catch (...) {
  bad_blobs_.add_unknown();
}

std::error_code FileSystem::read_failed(const OpenLayout::Failure& failure) {
  if (failure.error == BlobFault::unverified) return failure.error;
  blob_failed(failure.blob, failure.file, failure.error);
  return is_shortage(failure.error) ? failure.error : kIoError;
}

// Whether the next who begins with a model may have the blob, although nothing changes in the store
// from now on: because it was this process's trouble, or because the store has another file
// already.
bool FileSystem::may_pass(const Digest& blob, const FileIdentity& file,
                          const std::error_code& ec) const {
  if (is_shortage(ec) || ec == BlobFault::changed) return true;
  const auto tree = nodes_.current();
  const auto now = tree->catalog().blob_index(blob);
  return now && !same_file(tree->catalog().blobs()[*now].identity, file);
}

void FileSystem::blob_failed(const Digest& blob, const FileIdentity& file,
                             const std::error_code& ec) noexcept try {
  const bool shortage = may_pass(blob, file, ec);
  const bool is_named = ec.category() == blob_fault_category();
  const std::string reason = ec == std::errc::io_error && !is_named
                                 ? "it is damaged or not the file that it was"
                                 : ec.message();
  const auto cause = shortage ? BadBlobs::Cause::shortage : BadBlobs::Cause::damage;
  if (!bad_blobs_.add(blob, file, cause, reason)) return;
  const auto tree = nodes_.current();
  if (const auto index = tree->catalog().blob_index(blob))
    on_stale_(ways_through(*tree, tree->catalog().users(*index)));
  on_bad_blob_(fmt::format("blob {} could not be read: {}; all models that need it are broken {}",
                           blob.blob_name(), reason, shortage ? "until it can" : "now"));
} catch (...) {
  bad_blobs_.add_unknown();
}

std::vector<std::string> FileSystem::attribute_names(const NodeRef& node) const {
  if (node->kind == NodeKind::blob) return {"user.ollamafs.digest"};
  if (node->model == Node::kNone) return {};
  if (node->is_directory() && !node.tree->is_model_directory(*node)) return {};
  return {"user.ollamafs.digest", "user.ollamafs.id", "user.ollamafs.media_type",
          "user.ollamafs.name", "user.ollamafs.state"};
}

std::string FileSystem::attribute(const NodeRef& node, std::string_view name,
                                  std::error_code& ec) const {
  ec.clear();
  const auto names = attribute_names(node);
  if (std::ranges::find(names, name) == names.end()) {
    ec = {ENODATA, std::generic_category()};
    return {};
  }
  if (node->kind == NodeKind::blob) {
    return node.tree->catalog().blobs()[node->source].digest.to_string();
  }
  const Model& model = *node.tree->model(*node);
  if (name.ends_with(".digest")) return model.manifest->digest.to_string();
  if (name.ends_with(".id")) return model.manifest->digest.id();
  if (name.ends_with(".media_type")) return model.manifest->media_type;
  if (name.ends_with(".name")) return model.shown;
  const auto fault = bad_blobs_.fault_of(model);
  return fault ? "broken: " + *fault : "whole";
}

struct statvfs FileSystem::statistics(std::error_code& ec) const {
  ec.clear();
  struct statvfs st {};
  if (::fstatvfs(store_.folder()->get(), &st) != 0) ec = {errno, std::generic_category()};
  st.f_bfree = st.f_bavail = 0;
  st.f_ffree = st.f_favail = 0;
  st.f_namemax = NAME_MAX;
  return st;
}

}  // namespace ollamafs
