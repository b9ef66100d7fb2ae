#include "fs/kernel/fuse_driver.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <vector>

#include "fs/kernel/read_reply.h"
#include "fs/kernel/request_loop.h"
#include "fs/kernel/serve.h"

namespace ollamafs {
namespace {

// What an inode number stands for never changes, and neither does its content, so the kernel may
// keep what it has been told until it is told otherwise. Seconds.
constexpr double kTimeout = 86400;

// FUSE_CAP_DIRECT_IO_ALLOW_MMAP of libfuse 3.17 and Linux 6.6; older ones never offer it.
constexpr unsigned kDirectIoAllowMmap = 1u << 28;

// Constant: a number is never used again for another node.
constexpr std::uint64_t kGeneration = 1;

// As serve, for a node that must be known: a number that is not is stale, and the kernel looks the
// name up again.
template <class Operation>
void serve_node(fuse_req_t req, fuse_ino_t ino, Operation&& operation,
                bool is_handle = false) noexcept {
  FileSystem& files = driver(req).file_system;
  const NodeRef node = is_handle ? files.find_by_handle(ino) : files.find(ino);
  serve(req, node, [&](FileSystem& fs) -> std::error_code {
    if (!node) return {ESTALE, std::generic_category()};
    return operation(fs, node);
  });
}

template <class T>
T& handle(const fuse_file_info* info) noexcept {
  return *reinterpret_cast<T*>(info->fh);
}

fuse_entry_param entry_of(const Tree& tree, const Node& node) {
  fuse_entry_param entry{};
  entry.ino = node.ino;
  entry.generation = kGeneration;
  entry.attr = stat_of(tree, node);
  entry.attr_timeout = tree.may_keep_size(node) ? kTimeout : 0;
  // A directory that can be had again has no such entry, and nobody tells the kernel.
  entry.entry_timeout = node.kind == NodeKind::stand_in ? 0 : kTimeout;
  return entry;
}

// ---- operations ----

// What the kernel does not offer must not be asked for: libfuse would give up.
void init(void* userdata, fuse_conn_info* connection) {
  const auto ask = [connection](unsigned capability) {
    if (connection->capable & capability) connection->want |= capability;
  };
  ask(FUSE_CAP_PARALLEL_DIROPS);
  ask(FUSE_CAP_EXPORT_SUPPORT);
  ask(FUSE_CAP_READDIRPLUS);
  ask(FUSE_CAP_READDIRPLUS_AUTO);
  ask(FUSE_CAP_ASYNC_READ);
  ask(kDirectIoAllowMmap);
  connection->max_write = std::min(connection->max_write, kLargestWrite);
  Driver& state = *static_cast<Driver*>(userdata);
  state.kernel_opens_directories = (connection->capable & FUSE_CAP_NO_OPENDIR_SUPPORT) != 0;
  state.passthrough.negotiate(*connection);
}

// Of "." the kernel asks when it has a file handle alone.
void lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const auto look_up = [&](FileSystem& fs, const NodeRef& directory) -> std::error_code {
    // The kernel sends longer ones too.
    if (std::strlen(name) > NAME_MAX) return std::make_error_code(std::errc::filename_too_long);
    std::error_code ec;
    const NodeRef node = fs.lookup(directory, name, ec);
    if (ec) return ec;
    const fuse_entry_param entry = entry_of(*node.tree, *node);
    fuse_reply_entry(req, &entry);
    return {};
  };
  serve_node(req, parent, look_up, std::string_view{name} == ".");
}

void forget(fuse_req_t req, fuse_ino_t, std::uint64_t) {
  fuse_reply_none(req);
}

void forget_multi(fuse_req_t req, std::size_t, fuse_forget_data*) {
  fuse_reply_none(req);
}

void getattr(fuse_req_t req, fuse_ino_t ino, fuse_file_info*) {
  serve_node(req, ino, [&](FileSystem&, const NodeRef& node) -> std::error_code {
    const struct stat st = stat_of(*node.tree, *node);
    fuse_reply_attr(req, &st, node.tree->may_keep_size(*node) ? kTimeout : 0);
    return {};
  });
}

// Directories have no state here: a listing goes on by its cookie, in whatever snapshot is current.
// So the kernel need not ask. ENOSYS is for good: from then on it opens directories by itself, and
// keeps their listings until it is told that they have changed.
void opendir(fuse_req_t req, fuse_ino_t, fuse_file_info* info) {
  if (driver(req).kernel_opens_directories) {
    fuse_reply_err(req, ENOSYS);
    return;
  }
  info->cache_readdir = 1;
  info->keep_cache = 1;
  fuse_reply_open(req, info);
}

void releasedir(fuse_req_t req, fuse_ino_t, fuse_file_info*) {
  fuse_reply_err(req, 0);
}

// What a listing shows at one place, and the cookie behind it.
struct ListedEntry {
  const char* name;
  const Tree* tree;
  const Node* node;
  std::uint64_t next;
  bool name_only;  // the kernel shall make no node of it
};

// Behind what stands for a directory's entries: more than any of their cookies.
constexpr std::uint64_t kBehindStandIn = std::uint64_t{1} << 62;

// Calls `visit` for the entries behind `offset`: ".", "..", then the directory's own or what stands
// for them, until it returns false.
template <class Visit>
void for_each_behind(const NodeRef& directory, std::string_view stand_in, std::uint64_t offset,
                     Visit&& visit) {
  static_assert(Tree::kNoCookie == 2);
  const Tree& tree = *directory.tree;
  if (offset < 1 && !visit(ListedEntry{".", &tree, directory.node, 1, true})) return;
  if (offset < 2 && !visit(ListedEntry{"..", &tree, &tree.node(directory->parent), 2, true}))
    return;
  if (!stand_in.empty()) {
    if (offset < kBehindStandIn)
      visit(ListedEntry{stand_in.data(), &tree, &tree.stand_in(), kBehindStandIn, true});
    return;
  }
  for (const Dentry& dentry : tree.entries_after(*directory, offset)) {
    if (!visit(
            ListedEntry{dentry.name.data(), &tree, &tree.node(dentry.node), dentry.cookie, false}))
      return;
  }
}

// A piece of a listing may be shorter than it was asked for: if there is no memory, it is.
std::span<char> room_for_listing(std::size_t size, std::span<char> some, std::vector<char>& much) {
  if (size <= some.size()) return some.first(size);
  try {
    much.resize(size);
    return much;
  } catch (const std::bad_alloc&) {
    return some;
  }
}

// Fills a reply with the entries behind `offset`. `add` puts one into the buffer as libfuse's
// fuse_add_direntry does: it returns the room the entry needs, and adds nothing if there is less.
template <class Add>
void list(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t offset, Add&& add) {
  serve_node(req, ino, [&](FileSystem& fs, const NodeRef& asked) -> std::error_code {
    NodeRef directory = asked;
    const auto listing = fs.list(directory, offset == 0, tool_of(req));
    if (!listing.possible) return std::make_error_code(std::errc::not_a_directory);
    const auto behind = static_cast<std::uint64_t>(offset);
    char some_room[4096];
    std::vector<char> much_room;
    const std::span<char> buffer = room_for_listing(size, some_room, much_room);
    std::size_t used = 0;
    for_each_behind(directory, listing.stand_in, behind, [&](const ListedEntry& entry) {
      const std::size_t left = buffer.size() - used;
      const std::size_t needed = add(buffer.data() + used, left, entry);
      if (needed > left) return false;
      used += needed;
      return true;
    });
    const bool must_fail = !listing.stand_in.empty() || behind == kBehindStandIn;
    if (used == 0 && must_fail) return std::make_error_code(std::errc::io_error);
    fuse_reply_buf(req, buffer.data(), used);
    fs.answered_listing(directory, ino);
    return {};
  });
}

void readdir(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info*) {
  list(req, ino, size, offset, [req](char* at, std::size_t room, const ListedEntry& entry) {
    const struct stat st = listed_stat_of(*entry.node);
    return fuse_add_direntry(req, at, room, entry.name, &st, static_cast<off_t>(entry.next));
  });
}

void readdirplus(fuse_req_t req, fuse_ino_t ino, std::size_t size, off_t offset, fuse_file_info*) {
  list(req, ino, size, offset, [req](char* at, std::size_t room, const ListedEntry& entry) {
    // Number 0 tells the kernel to take the name and the type, and to make no node. A file must not
    // be made because its directory is listed.
    fuse_entry_param reply{};
    if (entry.name_only || !entry.tree->knows_size(*entry.node)) {
      reply.attr = listed_stat_of(*entry.node);
    } else {
      reply = entry_of(*entry.tree, *entry.node);
    }
    return fuse_add_direntry_plus(req, at, room, entry.name, &reply,
                                  static_cast<off_t>(entry.next));
  });
}

void open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
  serve_node(req, ino, [&](FileSystem& fs, const NodeRef& node) -> std::error_code {
    if ((info->flags & O_ACCMODE) != O_RDONLY) return {EROFS, std::generic_category()};
    std::error_code ec;
    auto opened = fs.open_file(node, ec, tool_of(req));
    if (ec) return ec;
    // Content never changes under a number, and blobs may be mapped, so the kernel caches them.
    // Archives are read once and by large requests: past its cache that is twice as fast.
    info->direct_io = opened->caching == Caching::bypass;
    info->keep_cache = opened->caching == Caching::keep;
    Driver& state = driver(req);
    const bool is_blob = node->kind == NodeKind::blob;
    const int descriptor = opened->content->sole_descriptor();
    OpenFile* const file = state.files.open(std::move(opened));
    info->fh = reinterpret_cast<std::uintptr_t>(file);
    try {
      if (is_blob && !state.passthrough.open(req, ino, fs.file_of(node), descriptor, *info)) {
        state.files.close(file);
        return std::make_error_code(std::errc::io_error);
      }
    } catch (...) {
      state.files.close(file);
      throw;
    }
    // If the reply fails, the kernel never has the handle, and will not give it back.
    if (fuse_reply_open(req, info) == 0) return {};
    if (is_blob) state.passthrough.cancel(ino);
    state.files.close(file);
    return {};
  });
}

void release(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
  Driver& state = driver(req);
  OpenFile& file = handle<OpenFile>(info);
  if (file.pin.ref()->kind == NodeKind::blob) state.passthrough.release(req, ino);
  state.files.close(&file);
  fuse_reply_err(req, 0);
}

void read(fuse_req_t req, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
  reply_read(req, handle<OpenFile>(info), size, static_cast<std::uint64_t>(offset));
}

void statfs(fuse_req_t req, fuse_ino_t) {
  serve(req, {}, [&](FileSystem& fs) {
    std::error_code ec;
    const struct statvfs st = fs.statistics(ec);
    if (!ec) fuse_reply_statfs(req, &st);
    return ec;
  });
}

// Both attribute calls ask for the size first, with room for 0 bytes.
std::error_code reply_attribute(fuse_req_t req, const std::string& value, std::size_t room) {
  if (room == 0) {
    fuse_reply_xattr(req, value.size());
  } else if (room < value.size()) {
    return std::make_error_code(std::errc::result_out_of_range);
  } else {
    fuse_reply_buf(req, value.data(), value.size());
  }
  return {};
}

void getxattr(fuse_req_t req, fuse_ino_t ino, const char* name, std::size_t room) {
  serve_node(req, ino, [&](FileSystem& fs, const NodeRef& node) {
    std::error_code ec;
    const std::string value = fs.attribute(node, name, ec);
    return ec ? ec : reply_attribute(req, value, room);
  });
}

void listxattr(fuse_req_t req, fuse_ino_t ino, std::size_t room) {
  serve_node(req, ino, [&](FileSystem&, const NodeRef& node) {
    if (!can_list_attributes(node)) return std::make_error_code(std::errc::operation_not_supported);
    std::string names;
    for (const std::string& name : attribute_names(node)) names.append(name).push_back('\0');
    return reply_attribute(req, names, room);
  });
}

}  // namespace

const fuse_lowlevel_ops& fuse_operations() noexcept {
  static const fuse_lowlevel_ops operations = [] {
    fuse_lowlevel_ops ops{};
    ops.init = init;
    ops.lookup = lookup;
    ops.forget = forget;
    ops.forget_multi = forget_multi;
    ops.getattr = getattr;
    ops.opendir = opendir;
    ops.readdir = readdir;
    ops.readdirplus = readdirplus;
    ops.releasedir = releasedir;
    ops.open = open;
    ops.read = read;
    ops.release = release;
    ops.statfs = statfs;
    ops.getxattr = getxattr;
    ops.listxattr = listxattr;
    return ops;
  }();
  return operations;
}

}  // namespace ollamafs
