#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace ollamafs {

// The first argument by which the files in completions/ ask for what may be typed next.
constexpr const char* kComplete = "__complete";

// What may stand in the place of a word that was begun.
struct Completion {
  enum class Paths { none, files, directories };

  struct Word {
    std::string text;    // begins with what was typed
    std::string help{};  // a line, or nothing
  };

  std::vector<Word> words;
  Paths paths = Paths::none;  // beside the words, files or directories whose name was begun
  std::string before_path;    // the beginning of the word that is no part of that name: "--store="
};

// What may stand in the place of the last of `words`, which are what was typed behind "ollamafs".
// All that it knows of commands and options is in `app`, which the help is made from. Names of
// models are those of the store that the words name, else of the one that is found; what cannot be
// read has none. Throws nothing but what the want of memory throws.
[[nodiscard]] Completion complete(const CLI::App& app, const std::vector<std::string>& words);

// For the shells' files, which do no more than to hand it on: a line with "words", "files" or
// "directories", for the latter two a blank and before_path; then each word, its help behind a tab.
void print(const Completion& completion);

}  // namespace ollamafs
