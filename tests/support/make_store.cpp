// Writes a sample store: what scripts/make-store runs.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>

#include "tests/support/sample_store.h"

int main(int argc, char** argv) try {
  using namespace ollamafs::test;
  CLI::App app{"Write a small Ollama store with a model of every shape.", "make-store"};
  std::filesystem::path directory;
  std::size_t models = 0, tensors = 0;
  bool broken = false;
  app.add_option("DIRECTORY", directory, "The models folder to make")->required()->type_name("");
  app.add_option("--models", models, "And so many small models")->type_name("COUNT");
  app.add_option("--tensors", tensors, "And one model of so many tensors")->type_name("COUNT");
  app.add_flag("--broken", broken, "And broken models of several kinds");
  CLI11_PARSE(app, argc, argv);
  if (std::filesystem::exists(directory / "manifests")) {
    std::fprintf(stderr, "make-store: %s holds a store already\n", directory.c_str());
    return 1;
  }
  const StoreBuilder store{directory};
  write_sample_models(store);
  write_many_models(store, models);
  if (tensors > 0) write_tensor_model(store, tensors);
  if (broken) write_broken_models(store);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "make-store: %s\n", error.what());
  return 1;
}
