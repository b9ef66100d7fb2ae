#include "store/audience.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <unordered_map>

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

class Survey {
 public:
  Survey(const StoreDir& store, StoreAudience& out) : store_{store}, out_{out} {
    struct stat st {};
    if (::fstat(store.fd(), &st) != 0) {
      throw std::system_error{errno, std::generic_category(), store.path().string()};
    }
    out_.uid = st.st_uid;
    out_.gid = st.st_gid;
    narrow(directory(store.path()), store.path());
  }

  // Looks at a file of the store and at all directories above the place where it really is.
  void file(const std::string& relative, mode_t wanted) {
    std::error_code ec;
    const StoreDir::Opened opened = store_.resolve(relative, ec);
    struct stat st {};
    if (ec || ::fstat(opened.fd.get(), &st) != 0) return;  // its model is broken
    const fs::path path = path_of_fd(opened.fd.get());
    narrow(std::min(of(st, wanted, path), directory(path.parent_path())), path);
  }

 private:
  void narrow(Audience audience, const fs::path& by) {
    if (audience >= out_.audience) return;
    out_.audience = audience;
    out_.narrowest = by.string();
  }

  // Who can pass through `path` and everything above it.
  Audience directory(const fs::path& path) {
    const auto known = directories_.find(path.string());
    if (known != directories_.end()) return known->second;
    struct stat st {};
    Audience audience = Audience::nobody;
    if (::stat(path.c_str(), &st) == 0) audience = of(st, S_IXOTH, path);
    if (path.has_relative_path()) audience = std::min(audience, directory(path.parent_path()));
    directories_.emplace(path.string(), audience);
    return audience;
  }

  // `wanted`: S_IROTH or S_IXOTH or both, as the last class of mode bits has them.
  [[nodiscard]] Audience of(const struct stat& st, mode_t wanted, const fs::path& path) const {
    const bool others = (st.st_mode & wanted) == wanted;
    const bool group = (st.st_mode >> 3 & wanted) == wanted;
    const bool owner = (st.st_mode >> 6 & wanted) == wanted;
    const bool store_group = st.st_gid == out_.gid ? group : others;
    const bool store_owner = st.st_uid == out_.uid ? owner : store_group;
    if (!store_owner) return Audience::nobody;
    if (has_access_list(path) || !store_group) return Audience::owner;
    return others && group ? Audience::everyone : Audience::group;
  }

  static bool has_access_list(const fs::path& path) noexcept {
    return ::getxattr(path.c_str(), "system.posix_acl_access", nullptr, 0) > 0;
  }

  const StoreDir& store_;
  StoreAudience& out_;
  std::unordered_map<std::string, Audience> directories_;
};

}  // namespace

StoreAudience audience_of(const StoreDir& store, const Catalog& catalog) {
  StoreAudience out;
  Survey survey{store, out};
  for (const Model& model : catalog.models()) {
    survey.file(fs::path{model.tag_path}.parent_path().string(), S_IROTH | S_IXOTH);
    survey.file(model.tag_path, S_IROTH);
    survey.file("blobs/" + model.manifest->digest.blob_name(), S_IROTH);  // the child of a list
  }
  for (const Blob& blob : catalog.blobs()) {
    if (blob.good()) survey.file(blob.path(), S_IROTH);
  }
  return out;
}

}  // namespace ollamafs
