#include "store/access/audience.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

// Who can pass, and the file or directory that lets no more people pass.
struct Verdict {
  Audience audience = Audience::nobody;
  fs::path culprit;
};

// Nobody will be shown a file that is not there, or not where the store may lead. Of any other that
// cannot be looked at now, somebody may be, later.
bool is_absent(const std::error_code& ec) noexcept {
  return ec == std::errc::no_such_file_or_directory || ec == std::errc::not_a_directory ||
         ec == std::errc::cross_device_link || ec == std::errc::too_many_symbolic_link_levels;
}

const Verdict& narrower(const Verdict& a, const Verdict& b) {
  return b.audience < a.audience ? b : a;
}

class Survey {
 public:
  Survey(const StoreDir& store, StoreAudience& out) : store_{store}, out_{out} {
    struct stat st {};
    if (store.calls().fstat(store.folder()->get(), st) != 0) {
      throw std::system_error{errno, std::generic_category(), store.path().string()};
    }
    out_.uid = st.st_uid;
    out_.gid = st.st_gid;
    narrow(directory(path_of_fd(store.folder()->get())));
  }

  // Looks at a file or directory of the store that must have the bits `wanted`, as the last class
  // of mode bits has them, and at all directories above the place where it really is. False if it
  // is not there.
  bool look(const std::string& relative, mode_t wanted) {
    std::error_code ec;
    const StoreDir::Opened opened = store_.resolve(relative, ec);
    struct stat st {};
    if (!ec && store_.calls().fstat(opened.fd.get(), st) != 0)
      ec = {errno, std::generic_category()};
    if (ec) {
      if (!is_absent(ec)) narrow({Audience::nobody, relative});
      return !is_absent(ec);
    }
    const fs::path path = path_of_fd(opened.fd.get());
    narrow(narrower(directory(path.parent_path()), {of(st, wanted, path), path}));
    return true;
  }

  // As look, at what may be shown from an open descriptor although its name is gone.
  void look_at_shown(const std::string& relative, mode_t wanted) {
    if (!look(relative, wanted)) out_.lacks_some = true;
  }

  // Looks at a manifest and at the folders of its tree, which must be listable: the view lists
  // them.
  void look_at_tag(const fs::path& path) {
    look_at_shown(path.string(), S_IROTH);
    for (fs::path folder = path.parent_path(); !folder.empty(); folder = folder.parent_path()) {
      if (!folders_.insert(folder.string()).second) return;  // it, and all above
      look(folder.string(), S_IROTH | S_IXOTH);
    }
  }

 private:
  void narrow(const Verdict& verdict) {
    if (verdict.audience >= out_.audience) return;
    out_.audience = verdict.audience;
    out_.narrowest = verdict.culprit.string();
  }

  // Who can pass through `path` and everything above it.
  const Verdict& directory(const fs::path& path) {
    const auto known = directories_.find(path.string());
    if (known != directories_.end()) return known->second;
    struct stat st {};
    Verdict verdict{Audience::nobody, path};
    if (::stat(path.c_str(), &st) == 0) verdict.audience = of(st, S_IXOTH, path);
    if (path.has_relative_path()) verdict = narrower(directory(path.parent_path()), verdict);
    return directories_.emplace(path.string(), std::move(verdict)).first->second;
  }

  [[nodiscard]] Audience of(const struct stat& st, mode_t wanted, const fs::path& path) const {
    const bool others = (st.st_mode & wanted) == wanted;
    const bool group = (st.st_mode >> 3 & wanted) == wanted;
    const bool owner = (st.st_mode >> 6 & wanted) == wanted;
    const bool listed = has_access_list(path);
    const bool store_group = !listed && (st.st_gid == out_.gid ? group : others);
    const bool store_owner = st.st_uid == out_.uid ? owner : store_group;
    if (!store_owner) return Audience::nobody;
    if (!store_group) return Audience::owner;
    return others && group ? Audience::everyone : Audience::group;
  }

  static bool has_access_list(const fs::path& path) noexcept {
    return ::getxattr(path.c_str(), "system.posix_acl_access", nullptr, 0) > 0;
  }

  const StoreDir& store_;
  StoreAudience& out_;
  std::unordered_map<std::string, Verdict> directories_;  // by real path
  std::unordered_set<std::string> folders_;               // of the trees that were looked at
};

}  // namespace

StoreAudience audience_of(const StoreDir& store, const Catalog& catalog) {
  StoreAudience out;
  Survey survey{store, out};
  survey.look("blobs", S_IXOTH);
  for (const Model& model : catalog.models()) {
    survey.look_at_tag(model.tag_path);
    survey.look(model.manifest->digest.blob_path(), S_IROTH);  // the child of a list
  }
  for (const Blob& blob : catalog.blobs()) {
    if (blob.good()) survey.look_at_shown(blob.path(), S_IROTH);
  }
  return out;
}

}  // namespace ollamafs
