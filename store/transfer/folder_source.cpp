#include "store/transfer/folder_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "store/base/dir_stream.h"
#include "store/base/text.h"
#include "store/catalog/store_limits.h"
#include "store/folder/read_file.h"
#include "store/transfer/member_path.h"
#include "store/transfer/stray_names.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {
namespace {

// A models folder has five levels; so many more may lead to it.
constexpr std::size_t kDepth = 16;

[[noreturn]] void fail_to_read(const std::string& shown, const std::string& path,
                               const std::error_code& ec) {
  throw TransferError{
      TransferError::Kind::broken,
      fmt::format("{}: {} {}", shown, printable(path.empty() ? "." : path), open_failure(ec))};
}

// All members below a folder.
class FolderWalk {
 public:
  FolderWalk(const StoreDir& folder, const std::string& shown) : folder_{folder}, shown_{shown} {}

  [[nodiscard]] std::vector<Member> run() && {
    descend("", 0);
    std::ranges::sort(members_, {}, &Member::path);
    return std::move(members_);
  }

 private:
  void descend(const std::string& path, std::size_t depth) {
    std::error_code ec;
    StoreDir::Opened opened = folder_.open_directory(path.empty() ? "." : path, ec);
    if (ec) fail_to_read(shown_, path, ec);
    struct stat st {};
    if (folder_.calls().fstat(opened.fd.get(), st) != 0) {
      fail_to_read(shown_, path, {errno, std::generic_category()});
    }
    if (!seen_.insert({st.st_dev, st.st_ino}).second) return;  // links that go round in a circle
    const std::string above = path.empty() ? "" : path + "/";
    for (const std::string& name : names_in(path, std::move(opened.fd))) {
      std::string entry = above;
      look_at(entry.append(name), depth);
    }
  }

  [[nodiscard]] std::vector<std::string> names_in(const std::string& path, UniqueFd fd) {
    const DirStream dir{::fdopendir(fd.get())};
    if (!dir) fail_to_read(shown_, path, {errno, std::generic_category()});
    (void)fd.release();
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = folder_.calls().readdir(dir.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != ".." && !is_stray_name(name)) names.emplace_back(name);
      if (++entries_ > StoreLimits{}.entries) {
        throw TransferError{
            TransferError::Kind::failed,
            fmt::format("{} holds more than {} files; name the models folder itself", shown_,
                        StoreLimits{}.entries)};
      }
      errno = 0;
    }
    if (errno != 0) fail_to_read(shown_, path, {errno, std::generic_category()});
    return names;
  }

  void look_at(const std::string& path, std::size_t depth) {
    Member member{.path = path};
    MemberPath meaning = read_member_path(path);
    member.digest = meaning.blob;
    member.name = std::move(meaning.model);
    member.tree = meaning.tree;
    std::error_code ec;
    const StoreDir::Opened entry = folder_.resolve_entry(path, ec);
    struct stat st {};
    if (ec || folder_.calls().fstat(entry.fd.get(), st) != 0) return;  // gone meanwhile
    const bool is_link = S_ISLNK(st.st_mode);
    if (is_link && member.name && member.tree == TreeKind::v2) {
      add_link(std::move(member), entry.fd.get());
      return;
    }
    StoreDir::Opened target;
    if (is_link) {
      target = folder_.resolve(path, ec);
      if (ec || folder_.calls().fstat(target.fd.get(), st) != 0) {
        if (member.digest || member.name) fail_to_read(shown_, path, ec);
        return;
      }
    }
    if (S_ISDIR(st.st_mode)) {
      if (depth < kDepth) descend(path, depth + 1);
    } else if (S_ISREG(st.st_mode)) {
      add_file(std::move(member), static_cast<std::uint64_t>(st.st_size));
    }
  }

  void add_file(Member member, std::uint64_t size) {
    if (!member.digest && (!member.name || is_shadow_tag(*member.name))) return;
    member.kind = member.digest ? Member::Kind::blob : Member::Kind::manifest;
    member.size = size;
    members_.push_back(std::move(member));
  }

  void add_link(Member member, int link) {
    std::array<char, PATH_MAX> target{};
    const ssize_t length = folder_.calls().readlink(link, target.data(), target.size());
    const std::string_view to{target.data(),
                              static_cast<std::size_t>(std::max<ssize_t>(0, length))};
    const std::size_t slash = to.rfind('/');
    member.kind = Member::Kind::link;
    member.digest = Digest::parse(to.substr(slash == to.npos ? 0 : slash + 1));
    if (!member.digest) {
      throw TransferError{
          TransferError::Kind::broken,
          fmt::format("{}: {} is a symlink to something that is not a manifest blob", shown_,
                      printable(member.path))};
    }
    members_.push_back(std::move(member));
  }

  const StoreDir& folder_;
  const std::string& shown_;
  std::vector<Member> members_;
  std::set<std::pair<dev_t, ino_t>> seen_;
  std::size_t entries_ = 0;
};

class FolderSource final : public ImportSource {
 public:
  FolderSource(StoreDir folder, std::string shown)
      : folder_{std::move(folder)},
        shown_{std::move(shown)},
        members_{FolderWalk{folder_, shown_}.run()} {}

  [[nodiscard]] bool empty() const noexcept { return members_.empty(); }

  [[nodiscard]] const std::string& shown() const noexcept override { return shown_; }
  [[nodiscard]] bool is_quick() const noexcept override { return true; }
  void rewind() override { at_ = 0; }

  [[nodiscard]] std::optional<Member> next() override {
    file_ = UniqueFd{};
    if (at_ == members_.size()) return std::nullopt;
    return members_[at_++];
  }

  [[nodiscard]] std::size_t read(char* out, std::size_t size) override {
    const std::string& path = members_[at_ - 1].path;
    std::error_code ec;
    if (!file_) {
      file_ = folder_.open_file(path, ec).fd;
      if (ec) fail_to_read(shown_, path, ec);
      (void)::posix_fadvise(file_.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
      offset_ = 0;
    }
    const std::size_t n = read_fully(folder_.calls(), file_.get(), out, size, offset_, ec);
    if (ec) fail_to_read(shown_, path, ec);
    offset_ += n;
    return n;
  }

 private:
  StoreDir folder_;
  std::string shown_;
  std::vector<Member> members_;
  std::size_t at_ = 0;  // of the member that comes next
  UniqueFd file_;
  std::uint64_t offset_ = 0;
};

}  // namespace

std::unique_ptr<ImportSource> open_folder_source(StoreDir folder, std::string shown) {
  auto source = std::make_unique<FolderSource>(std::move(folder), std::move(shown));
  if (source->empty()) return nullptr;
  return source;
}

}  // namespace ollamafs
