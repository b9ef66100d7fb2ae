#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/catalog/catalog.h"

namespace ollamafs {

// A file of a repository.
struct RepositoryFile {
  std::string name;    // "Llama-3.2-3B-Instruct-Q4_K_M.gguf"
  std::uint32_t blob;  // index into Catalog::blobs()
};

// The GGUF models of one name, as hubs of models keep them: all tags side by side.
struct Repository {
  std::string owner;  // "bartowski"
  std::string name;   // "Llama-3.2-3B-Instruct-GGUF"
  std::vector<RepositoryFile> files;
};

// The whole models of a catalog that have GGUF weights.
//
// A repository is what two models have in common that differ in nothing but their tags and the case
// of letters, which is one to Ollama. Its owner and its name are
//
// * of Hugging Face (hf.co, huggingface.co) those that it has there;
// * of the public registry the namespace, "library" if it is the default, and the model;
// * of another host the host and NAMESPACE.MODEL: a namespace has no dot, so that the first one
//   tells where it ends. A colon before a port is '_'.
//
// "--" parts owner and name in a hub cache, and dots or hyphens that follow on each other, or end a
// name, are in no name of a hub: of several one is left, and none at the end. Of two repositories
// that then are called alike, but for the case of letters, those of Hugging Face have the name;
// then a public one is called as if its host were any other; and what still is not alone has a
// number behind it.
//
// The files are NAME-TAG.gguf, NAME-TAG-00001-of-00002.gguf if there are several weights, and
// mmproj-NAME-TAG.gguf, because programs look for the tag in a file's name, and for projectors by
// "mmproj". NAME is the model's, without the "-GGUF" that it may have on Hugging Face. Should two
// models of a repository have files of one name, without regard to case, there is a number behind
// the second's tag.
//
// All names are of letters, digits, '_', '-' and '.', and begin with none of the last two.
[[nodiscard]] std::vector<Repository> repositories(const Catalog& catalog);

}  // namespace ollamafs
