#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/unique_fd.h"
#include "store/base/write_calls.h"
#include "store/folder/store_dir.h"
#include "store/model/digest.h"
#include "store/transfer/new_file.h"

namespace ollamafs {

// A models folder that files are written into: the only way to do so. It is held open, and all
// below it is reached from there: a folder that its owner swaps for a link meanwhile leads nobody
// out of it. A link that leads out is followed for an ordinary user, who could go there anyway; for
// root only where root itself has made it, as for `blobs` on another disk.
//
// As root, whatever is made gets the owner, the group and the modes of the folder. Directories that
// were made stay, also empty: another import may be about to write into them. Not for use from
// several threads at once.
class StoreWriter {
 public:
  // Opens the folder, or makes it. Throws std::system_error that names the path, as all below do.
  explicit StoreWriter(const std::filesystem::path& path,
                       const WriteCalls& calls = WriteCalls::kernel());
  ~StoreWriter() = default;
  StoreWriter(const StoreWriter&) = delete;
  StoreWriter& operator=(const StoreWriter&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }  // real
  [[nodiscard]] int folder() const noexcept { return folder_.get(); }

  // Where blobs really are, if a link that is followed leads to another place.
  [[nodiscard]] std::vector<std::filesystem::path> places_outside() const;

  // Deletes the temporary files of imports that ended without deleting them.
  void remove_left_behind();

  // The same folder, to be read.
  [[nodiscard]] std::unique_ptr<StoreDir> reader() const;

  // A file that is to be a blob.
  [[nodiscard]] std::unique_ptr<NewFile> new_blob();

  // Appends to it.
  void write(NewFile& file, const Digest& digest, std::string_view bytes) const;

  // Gives a blob its name, in the place of whatever has it.
  void commit_blob(NewFile& file, const Digest& digest);

  // Sees to it that all blobs that got their names keep them.
  void sync_blobs();

  // Makes a blob that is there look new, so that Ollama's clean-up leaves it for an hour. What the
  // kernel refuses is passed over.
  void touch_blob(const Digest& digest) noexcept;

  // Writes a file below the folder, at once or not at all, and its directories. One that is there
  // stays, and the result is false, unless `replace`.
  [[nodiscard]] bool put(const std::string& relative, std::string_view bytes, bool replace);

  // Bytes that this user may still write.
  [[nodiscard]] std::uint64_t room();

  // Whether blobs are on FAT, which has no file of 4 GiB or more.
  [[nodiscard]] bool is_fat();

 private:
  using Directory = std::shared_ptr<const UniqueFd>;

  [[nodiscard]] UniqueFd open_folder(const std::filesystem::path& path);
  void adopt_owner();
  [[nodiscard]] Directory directory(const std::string& relative);
  [[nodiscard]] UniqueFd open_directory(const std::string& relative, int& error);
  [[nodiscard]] UniqueFd follow_out(const std::string& relative, int& error) const;
  [[nodiscard]] UniqueFd make_directory(const Directory& parent, const std::string& name,
                                        const std::string& shown);
  void sync_directory(int fd, const std::string& shown);
  [[noreturn]] void fail(int error, const std::string& relative) const;

  const WriteCalls& calls_;
  bool is_root_;
  std::filesystem::path path_;
  UniqueFd folder_;
  Ownership owner_;
  std::map<std::string, Directory> directories_;  // by path below the folder
};

}  // namespace ollamafs
