#include "store/transfer/loose_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <utility>
#include <variant>

#include "store/base/file_calls.h"
#include "store/base/text.h"
#include "store/base/unique_fd.h"
#include "store/folder/read_file.h"
#include "store/model/manifest.h"
#include "store/model/stored_manifest.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;

struct OpenFile {
  UniqueFd fd;  // none: it is no regular file
  std::uint64_t size = 0;
};

OpenFile open_loose(const fs::path& path) {
  OpenFile file{UniqueFd{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)}};
  struct stat st {};
  if (!file.fd || ::fstat(file.fd.get(), &st) != 0) {
    throw std::system_error{errno, std::generic_category(), printable(path.string())};
  }
  if (!S_ISREG(st.st_mode)) return {};
  file.size = static_cast<std::uint64_t>(st.st_size);
  return file;
}

// The next bytes of a file, as many as fit.
std::size_t read_on(const OpenFile& file, const fs::path& path, char* out, std::size_t size,
                    std::uint64_t offset) {
  std::error_code ec;
  const std::size_t n = read_fully(FileCalls::kernel(), file.fd.get(), out, size, offset, ec);
  if (ec) throw std::system_error{ec, printable(path.string())};
  return n;
}

// Finds out what the files are.
class Sorting {
 public:
  explicit Sorting(Progress& progress) : progress_{progress} {}

  [[nodiscard]] std::vector<Member> sort(const std::vector<fs::path>& files) {
    std::vector<fs::path> others;
    for (const fs::path& path : files) {
      if (!take_manifest(path)) others.push_back(path);
    }
    if (manifests_.empty()) return {};
    for (const fs::path& path : others) take_blob(path);
    std::vector<Member> members = std::move(blobs_);
    for (auto& [digest, member] : manifests_) {
      // The manifests of a list are blobs of it.
      if (children_.contains(digest)) {
        member.kind = Member::Kind::blob;
        member.digest = digest;
      }
      members.push_back(std::move(member));
    }
    return members;
  }

 private:
  bool take_manifest(const fs::path& path) {
    const OpenFile file = open_loose(path);
    if (!file.fd || file.size > kMaxManifestBytes) return false;
    std::string bytes(file.size, '\0');
    bytes.resize(read_on(file, path, bytes.data(), bytes.size(), 0));
    try {
      note_needs(bytes, parse_manifest(bytes));
    } catch (const ManifestError&) {
      return false;
    }
    manifests_.insert({Digest::of(bytes),
                       {.kind = Member::Kind::manifest, .path = path.string(), .size = file.size}});
    return true;
  }

  void note_needs(const std::string& bytes, const AnyManifest& manifest) {
    if (const auto* plain = std::get_if<Manifest>(&manifest)) {
      const auto stored = StoredManifest::from(bytes, *plain);
      for (const BlobRef& ref : stored->blobs) {
        needed_.insert({ref.digest, ref.size});
        sizes_.insert(ref.size);
      }
      return;
    }
    for (const ListEntry& entry : std::get<ManifestList>(manifest).entries) {
      if (const auto digest = Digest::parse(entry.digest)) children_.insert(*digest);
    }
  }

  void take_blob(const fs::path& path) {
    const OpenFile file = open_loose(path);
    if (!file.fd || !sizes_.contains(file.size)) return;
    progress_.next(printable(path.filename().string()));
    Hasher hasher;
    std::string buffer(std::size_t{1} << 20, '\0');
    for (std::uint64_t at = 0; at < file.size;) {
      const std::size_t n = read_on(file, path, buffer.data(), buffer.size(), at);
      if (n == 0) break;
      hasher.add({buffer.data(), n});
      at += n;
      progress_.add(0);  // only to ask whether to stop: the copying is what counts
    }
    const Digest digest = hasher.finish();
    const auto needed = needed_.find(digest);
    if (needed == needed_.end() || !found_.insert(digest).second) return;
    blobs_.push_back({.path = path.string(), .digest = digest, .size = file.size});
  }

  Progress& progress_;
  std::map<Digest, Member> manifests_;
  std::map<Digest, std::uint64_t> needed_;
  std::set<std::uint64_t> sizes_;  // of what is needed
  std::set<Digest> children_;      // of lists
  std::set<Digest> found_;
  std::vector<Member> blobs_;
};

class LooseSource final : public ImportSource {
 public:
  LooseSource(std::vector<Member> members, std::string shown)
      : members_{std::move(members)}, shown_{std::move(shown)} {}

  [[nodiscard]] const std::string& shown() const noexcept override { return shown_; }
  [[nodiscard]] bool is_quick() const noexcept override { return true; }
  void rewind() override { at_ = 0; }

  [[nodiscard]] std::optional<Member> next() override {
    file_ = {};
    offset_ = 0;
    if (at_ == members_.size()) return std::nullopt;
    return members_[at_++];
  }

  [[nodiscard]] std::size_t read(char* out, std::size_t size) override {
    const fs::path path = members_[at_ - 1].path;
    if (!file_.fd) file_ = open_loose(path);
    if (!file_.fd) throw std::system_error{EINVAL, std::generic_category(), path};
    const std::size_t n = read_on(file_, path, out, size, offset_);
    offset_ += n;
    return n;
  }

 private:
  std::vector<Member> members_;
  std::string shown_;
  std::size_t at_ = 0;
  OpenFile file_;
  std::uint64_t offset_ = 0;
};

}  // namespace

std::unique_ptr<ImportSource> open_loose_source(const std::vector<fs::path>& files,
                                                std::string shown, Progress& progress) {
  std::vector<Member> members = Sorting{progress}.sort(files);
  if (members.empty()) return nullptr;
  return std::make_unique<LooseSource>(std::move(members), std::move(shown));
}

}  // namespace ollamafs
