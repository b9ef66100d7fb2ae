#pragma once

#include <filesystem>

namespace ollamafs {

// Whether it is a regular file that begins like an archive.
[[nodiscard]] bool begins_archive(const std::filesystem::path& path);

// Whether the file `next`, which by its name follows `before` in a row of parts that `first`
// begins, is a part by its content as well: the first begins like an archive and this one does not.
// Two archives of such names are two. A directory is no part, nor is what cannot be read.
//
// A tar may have been cut just before a header, so that a part begins like another tar: it is a
// part if what is before it has not the end of a tar.
[[nodiscard]] bool continues_archive(const std::filesystem::path& first,
                                     const std::filesystem::path& before,
                                     const std::filesystem::path& next);

}  // namespace ollamafs
