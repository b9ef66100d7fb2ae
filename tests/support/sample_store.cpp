#include "tests/support/sample_store.h"

#include <filesystem>
#include <string>

#include "tests/support/safetensors.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLicense =
    "EXAMPLE COMMUNITY LICENSE\n\nYou may run this \"sample\" anywhere.\n";

// docs/store-format.md §12.1 and its relatives: one set of weights under several names.
void write_text_models(const StoreBuilder& store) {
  ManifestSpec pulled = store.text_model(1, 3'000'000);
  pulled.layers.push_back(store.layer(kLicenseType, kLicense));
  store.v1("llama3.2:3b", pulled);
  store.v1("llama3.2:latest", pulled);
  store.v1("hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M", store.text_model(2, 1'000'000));

  ManifestSpec derived = pulled;
  derived.end = "\n";
  derived.layers.push_back(store.layer(kSystemType, "You are a pirate."));
  for (LayerSpec& layer : derived.layers) layer.from = "llama3.2:3b";
  store.v2("mannix/pirate:q4", derived);

  ManifestSpec tuned = pulled;
  tuned.layers.push_back(store.layer(kAdapterType, "GGUF" + random_bytes(3, 200'000)));
  store.v2("localhost:5000/team/tuned:v1.0", tuned, true);
}

// docs/store-format.md §12.2.
void write_vision_model(const StoreBuilder& store) {
  ManifestSpec vision = store.text_model(4, 2'000'000);
  vision.layers.push_back(store.layer(kProjectorType, "GGUF" + random_bytes(5, 700'000)));
  vision.layers.push_back(store.layer(kSystemType, "You are a careful image describer."));
  vision.end = "\n";
  store.v1("me/describer:latest", vision);
}

// docs/store-format.md §12.3.
void write_cloud_model(const StoreBuilder& store) {
  ManifestSpec cloud;
  cloud.config = store.layer(
      kConfigType,
      R"({"model_format":"","model_family":"gptoss","model_families":["gptoss"],"model_type":"116.8B",)"
      R"("file_type":"MXFP4","remote_host":"https://ollama.com:443","remote_model":"gpt-oss:120b",)"
      R"("capabilities":["completion","tools","thinking"],"architecture":"amd64","os":"linux"})"
      "\n");
  cloud.null_layers = true;
  cloud.end = "\n";
  store.v1("gpt-oss:120b-cloud", cloud);
}

ManifestSpec tensor_model(const StoreBuilder& store, std::size_t tensors, std::size_t bytes) {
  ManifestSpec model;
  model.config = store.layer(
      kConfigType, R"({"model_format":"safetensors","model_family":"","model_families":null,)"
                   R"("model_type":"","file_type":"nvfp4","requires":"0.19.0"})");
  for (std::size_t i = 0; i < tensors; ++i) {
    const std::string name = "model.layers." + std::to_string(i) + ".self_attn.q_proj.weight";
    LayerSpec tensor =
        store.layer(kTensorType, one_tensor(name, random_bytes(1000 + i, bytes + i % 7 * 100)));
    tensor.name = name;
    model.layers.push_back(tensor);
  }
  LayerSpec config =
      store.layer(kJsonType, R"({"architectures":["Qwen3ForCausalLM"],"model_type":"qwen3"})");
  config.name = "config.json";
  model.layers.push_back(config);
  model.layers.push_back(store.layer(kLicenseType, kLicense));
  model.end = "\n";
  return model;
}

// docs/store-format.md §12.5: a list, its anchor in the v1 tree, and the shadow tag of its
// converted child.
void write_list(const StoreBuilder& store) {
  ManifestSpec converted = store.text_model(6, 1'500'000);
  converted.runner = "llamacpp";
  converted.format = "gguf";
  const std::string child = converted.json();
  const Digest child_digest = Digest::of(child);
  write_file(store.blob_path(child_digest), child);
  const std::string list = StoreBuilder::list_json(
      {{child_digest, "llamacpp", "gguf"}, {Digest::of("never pulled"), "mlx", "safetensors"}});
  const Digest list_digest = store.v2_bytes("gemma3:4b", list);

  ManifestSpec anchor = converted;
  anchor.layers.push_back(
      {kListType, list_digest.to_string(), static_cast<std::int64_t>(list.size())});
  anchor.layers.push_back(
      {kManifestType, child_digest.to_string(), static_cast<std::int64_t>(child.size())});
  store.v1("gemma3:4b", anchor);
  store.v1_bytes("llamacpp:" + child_digest.hex(), child);
}

}  // namespace

void write_sample_models(const StoreBuilder& store) {
  write_text_models(store);
  write_vision_model(store);
  write_cloud_model(store);
  store.v1("me/qwen3-moe:nvfp4", tensor_model(store, 40, 20'000));
  write_list(store);
}

void write_many_models(const StoreBuilder& store, std::size_t count) {
  const ManifestSpec base = store.text_model(7, 1000);
  for (std::size_t i = 0; i < count; ++i) {
    ManifestSpec model = base;
    model.layers[0] = store.layer(kModelType, "GGUF" + random_bytes(10'000 + i, 200));
    model.layers.push_back(store.layer(kSystemType, "You are number " + std::to_string(i)));
    model.layers.push_back(store.layer(kLicenseType, kLicense));
    const std::string name = "bulk/model-" + std::to_string(i / 4) + ":q" + std::to_string(i % 4);
    if (i % 2 == 0) {
      store.v1(name, model);
    } else {
      store.v2(name, model);
    }
  }
}

void write_tensor_model(const StoreBuilder& store, std::size_t count) {
  store.v1("bulk/tensors:latest", tensor_model(store, count, 1000));
}

void write_broken_models(const StoreBuilder& store) {
  const ManifestSpec missing = store.text_model(20);
  store.v1("broken/missing:latest", missing);
  fs::remove(store.blob_path(*Digest::parse(missing.layers[0].digest)));

  const ManifestSpec cut = store.text_model(21);
  store.v1("broken/short:latest", cut);
  fs::resize_file(store.blob_path(*Digest::parse(cut.layers[0].digest)), 1000);

  ManifestSpec climbing = store.text_model(22);
  climbing.layers[0].digest = "sha256:../../../../etc/passwd";
  store.v1("broken/climbing:latest", climbing);

  store.v1_bytes("broken/empty:latest", "");
  store.v1_bytes("broken/cut:latest", store.text_model(23).json().substr(0, 200));
  write_file(store.root() / "manifests/registry.ollama.ai/library/.DS_Store", "x");
  write_file(store.root() / "manifests/registry.ollama.ai/a.b/model/latest",
             store.text_model(24).json());
}

}  // namespace ollamafs::test
