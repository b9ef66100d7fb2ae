#pragma once

#include <span>
#include <string>

namespace ollamafs::test {

// What a writing call is tried on.
struct Target {
  std::string path;     // the file, directory or missing name
  std::string other;    // another file of the same mount
  std::string absent;   // a name of the same mount that is not there
  std::string outside;  // a file of another file system
  std::string nowhere;  // a name that is not there, on another file system
};

// A call that writes, and the errno that it must give; 0: it must succeed. EROFS, unless POSIX lets
// the kernel find another fault before.
struct WritingCall {
  const char* name;
  int (*make)(const Target&);  // returns as the call does
  int on_file;
  int on_directory;
  int on_missing;
};

// By name; and on a descriptor, open for reading only, for which `on_missing` says nothing.
[[nodiscard]] std::span<const WritingCall> calls_by_path();
[[nodiscard]] std::span<const WritingCall> calls_by_descriptor();

}  // namespace ollamafs::test
