#include "store/upkeep/quarantine.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>

#include "store/base/dir_stream.h"
#include "store/base/unique_fd.h"
#include "store/upkeep/blob_folder.h"

namespace ollamafs {
namespace {

std::error_code quarantine_error() noexcept {
  return {errno, std::generic_category()};
}

// blobs/ and the quarantine beside it. If blobs/ is a symlink, that is beside where it leads.
class QuarantineFolder {
 public:
  QuarantineFolder(const StoreDir& store, const WriteCalls& calls) : store_{store}, calls_{calls} {
    std::error_code ec;
    blobs_ = store.open_directory("blobs", ec).fd;
    if (ec) throw std::system_error{ec, (store.path() / "blobs").string()};
    const UniqueFd parent{
        store.calls().openat(blobs_.get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (!parent) fail(store);
    make(store, parent.get());
    path_ = path_of_fd(folder_.get());
  }

  // Under its own name, or with a number behind it if there is one already.
  void take(Quarantined& blob, const FileIdentity& found) const {
    if (!is_still(blob, found)) return;
    const std::string name = blob.from.substr(blob.from.rfind('/') + 1);
    std::string free_name = name;
    for (int number = 2; !move(name, free_name); ++number) {
      if (errno != EEXIST || number > 1000) {
        blob.error = quarantine_error();
        return;
      }
      free_name = name + "-" + std::to_string(number);
    }
    blob.to = path_ / free_name;
  }

 private:
  [[noreturn]] static void fail(const StoreDir& store) {
    throw std::system_error{quarantine_error(), (store.path() / kQuarantine).string()};
  }

  void make(const StoreDir& store, int parent) {
    const bool is_new = calls_.mkdirat(parent, kQuarantine, 0755) == 0;
    if (!is_new && errno != EEXIST) fail(store);
    folder_ = UniqueFd{
        store.calls().openat(parent, kQuarantine, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
    if (!folder_) fail(store);
    struct stat st {};
    if (!is_new || ::geteuid() != 0 || store.calls().fstat(blobs_.get(), st) != 0) return;
    // Where root may not give files away, as on FAT, it stays root's.
    if (calls_.fchown(folder_.get(), st.st_uid, st.st_gid) != 0) return;
  }

  // A pull may have replaced it, and what somebody wrote to again has other bytes.
  [[nodiscard]] bool is_still(Quarantined& blob, const FileIdentity& found) const {
    const StoreDir::Opened file = store_.resolve(blob.from, blob.error);
    struct stat st {};
    if (!blob.error && store_.calls().fstat(file.fd.get(), st) != 0) {
      blob.error = quarantine_error();
    }
    blob.has_changed = !blob.error && FileIdentity::of(st) != found;
    return blob.is_moved();
  }

  [[nodiscard]] bool move(const std::string& from, const std::string& to) const {
    if (calls_.renameat2(blobs_.get(), from.c_str(), folder_.get(), to.c_str(), RENAME_NOREPLACE) ==
        0) {
      return true;
    }
    // A file system that cannot do this: nobody else puts files here.
    if (errno != EINVAL) return false;
    struct stat st {};
    if (::fstatat(folder_.get(), to.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
      errno = EEXIST;
      return false;
    }
    return calls_.renameat2(blobs_.get(), from.c_str(), folder_.get(), to.c_str(), 0) == 0;
  }

  const StoreDir& store_;
  const WriteCalls& calls_;
  UniqueFd blobs_, folder_;
  std::filesystem::path path_;
};

}  // namespace

std::vector<Quarantined> quarantine(const StoreDir& store, const std::vector<BadBlob>& blobs,
                                    const WriteCalls& calls) {
  std::vector<Quarantined> moved;
  if (blobs.empty()) return moved;
  const QuarantineFolder folder{store, calls};
  moved.reserve(blobs.size());
  for (const BadBlob& blob : blobs) {
    folder.take(moved.emplace_back(Quarantined{.from = blob.path}), blob.identity);
  }
  return moved;
}

QuarantineUsage weigh_quarantine(const StoreDir& store) {
  QuarantineUsage usage;
  std::error_code ec;
  const StoreDir::Opened blobs = store.open_directory("blobs", ec);
  if (ec) return usage;
  const std::string relative = std::string{"../"} + kQuarantine;
  constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  const UniqueFd folder{store.calls().openat(blobs.fd.get(), relative.c_str(), flags)};
  UniqueFd listed{store.calls().openat(blobs.fd.get(), relative.c_str(), flags)};
  if (!folder || !listed) return usage;
  usage.path = path_of_fd(folder.get());
  for_each_dir_entry(store.calls(), std::move(listed), ec, [&](const dirent& entry) {
    struct stat st {};
    if (::fstatat(folder.get(), entry.d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) return;
    if (S_ISDIR(st.st_mode)) return;
    ++usage.files;
    usage.bytes += held_bytes(st);
  });
  return usage;
}

}  // namespace ollamafs
