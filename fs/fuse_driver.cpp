#include "fs/fuse_driver.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

namespace ollamafs {
namespace {

// What an inode number stands for never changes, and neither does its content, so the kernel may
// keep what it has been told until it is told otherwise. Seconds.
constexpr double kTimeout = 86400;

// FUSE_CAP_DIRECT_IO_ALLOW_MMAP of libfuse 3.17 and Linux 6.6; older ones never offer it.
constexpr unsigned kDirectIoAllowMmap = 1u << 28;

// Constant: a number is never used again for another node.
constexpr std::uint64_t kGeneration = 1;

Driver& driver(fuse_req_t req) noexcept {
  return *static_cast<Driver*>(fuse_req_userdata(req));
}

int to_errno(const std::error_code& ec) noexcept {
  const std::error_condition condition = ec.default_error_condition();
  return condition.category() == std::generic_category() ? condition.value() : EIO;
}

// Runs one operation. `operation` either replies and returns no error, or returns one and has not
// replied: then this does.
template <class Operation>
void serve(fuse_req_t req, Operation&& operation) noexcept {
  int error = EIO;
  try {
    error = to_errno(operation(driver(req).file_system));
  } catch (const std::bad_alloc&) {
    error = ENOMEM;
  } catch (const std::system_error& failure) {
    error = to_errno(failure.code());
  } catch (...) {
    error = EIO;
  }
  if (error != 0) fuse_reply_err(req, error);
}

// As serve, for a node that must be known: a number that is not is stale, and the kernel looks the
// name up again.
template <class Operation>
void serve_node(fuse_req_t req, fuse_ino_t ino, Operation&& operation) noexcept {
  serve(req, [&](FileSystem& fs) -> std::error_code {
    const NodeRef node = fs.find(ino);
    if (!node) return {ESTALE, std::generic_category()};
    return operation(fs, node);
  });
}

template <class T>
T& handle(const fuse_file_info* info) noexcept {
  return *reinterpret_cast<T*>(info->fh);
}

// If the reply fails, the kernel never has the handle, and will not give it back. Tells which.
template <class T>
bool reply_open(fuse_req_t req, fuse_file_info* info, HandleSet<T>& handles,
                std::unique_ptr<T> opened) {
  T* const handle = handles.open(std::move(opened));
  info->fh = reinterpret_cast<std::uintptr_t>(handle);
  if (fuse_reply_open(req, info) == 0) return true;
  handles.close(handle);
  return false;
}

fuse_entry_param entry_of(const Node& node) noexcept {
  fuse_entry_param entry{};
  entry.ino = node.ino;
  entry.generation = kGeneration;
  entry.attr = FileSystem::attributes(node);
  entry.attr_timeout = kTimeout;
  entry.entry_timeout = kTimeout;
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
  static_cast<Driver*>(userdata)->passthrough.negotiate(*connection);
}

void lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  serve_node(req, parent, [&](FileSystem&, const NodeRef& directory) -> std::error_code {
    const NodeRef node = FileSystem::lookup(directory, name);
    if (!node) return std::make_error_code(std::errc::no_such_file_or_directory);
    const fuse_entry_param entry = entry_of(*node);
    fuse_reply_entry(req, &entry);
    return {};
  });
}

void forget(fuse_req_t req, fuse_ino_t, std::uint64_t) {
  fuse_reply_none(req);
}

void forget_multi(fuse_req_t req, std::size_t, fuse_forget_data*) {
  fuse_reply_none(req);
}

void getattr(fuse_req_t req, fuse_ino_t ino, fuse_file_info*) {
  serve_node(req, ino, [&](FileSystem&, const NodeRef& node) -> std::error_code {
    const struct stat st = FileSystem::attributes(*node);
    fuse_reply_attr(req, &st, kTimeout);
    return {};
  });
}

void opendir(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
  serve_node(req, ino, [&](FileSystem& fs, const NodeRef& node) -> std::error_code {
    std::error_code ec;
    auto opened = fs.open_directory(node, ec);
    if (ec) return ec;
    reply_open(req, info, driver(req).directories, std::move(opened));
    return {};
  });
}

void releasedir(fuse_req_t req, fuse_ino_t, fuse_file_info* info) {
  driver(req).directories.close(&handle<OpenDirectory>(info));
  fuse_reply_err(req, 0);
}

// The entry at a position of a listing: ".", "..", then the directory's own.
struct ListedEntry {
  const char* name;
  const Node* node;
  bool is_dot;
};

class Listing {
 public:
  explicit Listing(const NodeRef& directory)
      : tree_{*directory.tree}, directory_{*directory}, entries_{tree_.entries(directory_)} {}

  [[nodiscard]] std::size_t size() const noexcept { return entries_.size() + 2; }

  [[nodiscard]] ListedEntry at(std::size_t position) const noexcept {
    if (position == 0) return {".", &directory_, true};
    if (position == 1) return {"..", &tree_.node(directory_.parent), true};
    const Dentry& dentry = entries_[position - 2];
    return {dentry.name.data(), &tree_.node(dentry.node), false};
  }

 private:
  const Tree& tree_;
  const Node& directory_;
  std::span<const Dentry> entries_;
};

// Fills a reply with entries from `offset` on. `add` puts one into the buffer as libfuse's
// fuse_add_direntry does: it returns the room the entry needs, and adds nothing if there is less.
template <class Add>
std::error_code list(fuse_req_t req, std::size_t size, off_t offset, const OpenDirectory& directory,
                     Add&& add) {
  const Listing listing{directory.directory};
  std::vector<char> buffer(size);
  std::size_t used = 0;
  for (auto at = static_cast<std::size_t>(offset); at < listing.size(); ++at) {
    const std::size_t needed =
        add(buffer.data() + used, size - used, listing.at(at), static_cast<off_t>(at + 1));
    if (needed > size - used) break;
    used += needed;
  }
  fuse_reply_buf(req, buffer.data(), used);
  return {};
}

void readdir(fuse_req_t req, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
  serve(req, [&](FileSystem&) {
    return list(req, size, offset, handle<OpenDirectory>(info),
                [req](char* at, std::size_t room, const ListedEntry& entry, off_t next) {
                  const struct stat st = FileSystem::attributes(*entry.node);
                  return fuse_add_direntry(req, at, room, entry.name, &st, next);
                });
  });
}

void readdirplus(fuse_req_t req, fuse_ino_t, std::size_t size, off_t offset, fuse_file_info* info) {
  serve(req, [&](FileSystem& fs) {
    const auto& directory = handle<OpenDirectory>(info);
    const bool names_only = fs.is_superseded(directory);
    return list(
        req, size, offset, directory,
        [req, names_only](char* at, std::size_t room, const ListedEntry& entry, off_t next) {
          fuse_entry_param reply = entry_of(*entry.node);
          // Number 0 tells the kernel to take the name and the type, and to make no node.
          if (names_only || entry.is_dot) reply.ino = 0;
          return fuse_add_direntry_plus(req, at, room, entry.name, &reply, next);
        });
  });
}

void open(fuse_req_t req, fuse_ino_t ino, fuse_file_info* info) {
  serve_node(req, ino, [&](FileSystem& fs, const NodeRef& node) -> std::error_code {
    if ((info->flags & O_ACCMODE) != O_RDONLY) return {EROFS, std::generic_category()};
    std::error_code ec;
    auto opened = fs.open_file(node, ec);
    if (ec) return ec;
    // Content never changes under a number, and blobs may be mapped, so the kernel caches them.
    // Archives are read once and by large requests: past its cache that is twice as fast.
    if (node->kind == NodeKind::archive) {
      info->direct_io = 1;
    } else {
      info->keep_cache = 1;
    }
    Driver& state = driver(req);
    const bool is_blob = node->kind == NodeKind::blob;
    if (is_blob) state.passthrough.open(req, ino, opened->content->sole_descriptor(), *info);
    if (!reply_open(req, info, state.files, std::move(opened)) && is_blob) {
      state.passthrough.cancel(ino);
    }
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
  serve(req, [&](FileSystem& fs) -> std::error_code {
    thread_local Gathered bytes;
    OpenFile& file = handle<OpenFile>(info);
    const auto start = static_cast<std::uint64_t>(offset);
    std::error_code ec;
    fs.gather(file, bytes, size, start, ec);
    if (ec) return ec;
    // The file may be closed by another thread as soon as the reply is sent: not its content.
    const auto content = file.content;
    const std::uint64_t ahead = FileSystem::ahead_of(file, bytes.size(), start);
    const auto pieces = bytes.pieces();
    // EFAULT: a blob was cut short since it was looked at. The kernel has made it EIO.
    if (fuse_reply_iov(req, pieces.data(), static_cast<int>(pieces.size())) == -EFAULT) {
      fs.check(*content);
    } else if (ahead > 0) {
      content->prefetch(start + bytes.size(), ahead);
    }
    bytes.release();
    return {};
  });
}

void statfs(fuse_req_t req, fuse_ino_t) {
  serve(req, [&](FileSystem& fs) {
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
  serve_node(req, ino, [&](FileSystem& fs, const NodeRef& node) {
    std::string names;
    for (const std::string& name : fs.attribute_names(node)) names.append(name).push_back('\0');
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
