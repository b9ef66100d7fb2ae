#include "store/layout/tensors_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "store/catalog/catalog.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/safetensors.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

using ::testing::HasSubstr;

class TensorsFile : public ::testing::Test {
 protected:
  // A model of these tensor layers, each a name and the bytes of its blob.
  void write(const std::vector<std::pair<std::string, std::string>>& layers) {
    ManifestSpec model;
    model.config = builder.layer(kConfigType, R"({"model_format":"safetensors"})");
    for (const auto& [name, bytes] : layers) {
      LayerSpec tensor = builder.layer(kTensorType, bytes);
      tensor.name = name;
      model.layers.push_back(tensor);
    }
    builder.v1("m:latest", model);
  }

  [[nodiscard]] Layout make(const TensorsLimits& limits = {}) const {
    const StoreDir store{builder.root(), OutsideLinks::refuse};
    return tensors_file(store, Catalog::read(store)->models()[0], limits);
  }

  // All bytes of the file.
  [[nodiscard]] std::string bytes() const {
    const Layout layout = make();
    std::string all;
    layout.for_each_in(
        0, layout.size(), [&](const Segment& segment, std::uint64_t at, std::uint64_t length) {
          const std::string from = segment.is_generated()
                                       ? std::string{layout.generated()}
                                       : read_file(builder.blob_path(layout.blobs()[segment.blob]));
          all += from.substr(segment.source + at, length);
        });
    EXPECT_EQ(all.size(), layout.size());
    return all;
  }

  // Why it cannot be made; empty: it can.
  [[nodiscard]] std::string error(const TensorsLimits& limits = {}) const {
    try {
      (void)make(limits);
      return {};
    } catch (const TensorsError& error) {
      return error.what();
    }
  }

  TempDir dir;
  StoreBuilder builder{dir / "store"};
};

struct Parts {
  nlohmann::json header;
  std::string data;
};

Parts parts_of(const std::string& file) {
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(file[i]);
  EXPECT_EQ(length % 8, 0U);
  return {nlohmann::json::parse(file.substr(8, length)), file.substr(8 + length)};
}

std::string data_of(const Parts& file, const std::string& tensor) {
  const auto& range = file.header.at(tensor).at("data_offsets");
  return file.data.substr(range[0], range[1].get<std::size_t>() - range[0].get<std::size_t>());
}

TEST_F(TensorsFile, HasAllTensorsWithTheirData) {
  write({{"a", one_tensor("a", "12345")},
         {"experts", safetensors(R"({"e.1":{"dtype":"F16","shape":[2,1],"data_offsets":[4,8]},)"
                                 R"("e.0":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}  )",
                                 "AAAABBBB")},
         {"empty", one_tensor("none", "")}});
  const Parts file = parts_of(bytes());
  EXPECT_EQ(file.header.size(), 4U);
  EXPECT_EQ(data_of(file, "a"), "12345");
  EXPECT_EQ(data_of(file, "e.0"), "AAAA");
  EXPECT_EQ(data_of(file, "e.1"), "BBBB");
  EXPECT_EQ(data_of(file, "none"), "");
  EXPECT_EQ(file.header["e.1"]["dtype"], "F16");
  EXPECT_EQ(file.header["e.1"]["shape"], (nlohmann::json{2, 1}));
  EXPECT_EQ(file.data.size(), 13U);
}

TEST_F(TensorsFile, AlignsTensorsAsWellAsTheirBlobsDo) {
  write({{"odd", one_tensor("odd", "1")},
         {"four", one_tensor("four", "1234")},
         {"eight", one_tensor("eight", "12345678")}});
  const Parts file = parts_of(bytes());
  EXPECT_EQ(file.header["eight"]["data_offsets"][0], 0);
  EXPECT_EQ(file.header["four"]["data_offsets"][0], 8);
  EXPECT_EQ(file.header["odd"]["data_offsets"][0], 12);
}

TEST_F(TensorsFile, HasABlobOfTwoLayersOnce) {
  const std::string blob = one_tensor("a", "12345678");
  write({{"a", blob}, {"again", blob}});
  EXPECT_EQ(parts_of(bytes()).data, "12345678");
}

TEST_F(TensorsFile, SaysOnceWhatAllBlobsSayAndElseOfWhichLayerItIs) {
  const auto blob = [](const std::string& name, const std::string& type) {
    return safetensors(R"({"__metadata__":{"format":"mlx","quant_type":")" + type +
                           R"(","n":1},")" + name +
                           R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                       name);
  };
  write({{"a", blob("a", "int4")}, {"b", blob("b", "int8")}});
  EXPECT_EQ(
      parts_of(bytes()).header["__metadata__"],
      (nlohmann::json{{"format", "mlx"}, {"a.quant_type", "int4"}, {"b.quant_type", "int8"}}));
}

TEST_F(TensorsFile, IsNoneIfABlobIsNoSafetensorsFile) {
  const auto of = [](const std::string& range) {
    return R"({"a":{"dtype":"U8","shape":[1],"data_offsets":)" + range + "}}";
  };
  const std::pair<std::string, std::string> blobs[] = {
      {"1234567", "is no safetensors file"},
      {std::string(8, '\xff') + "{}", "is no safetensors file"},
      {safetensors("[]", ""), "is no JSON object"},
      {safetensors("{", ""), "is no JSON object"},
      {safetensors("{\"\xff\":1}", ""), "is no JSON object"},
      {safetensors(R"({"a":1})", ""), "without data_offsets"},
      {safetensors(R"({"a":{"data_offsets":[0,-1]}})", ""), "without data_offsets"},
      {safetensors(R"({"a":{"data_offsets":[0,1,2]}})", "12"), "without data_offsets"},
      {safetensors(R"({"a":{"data_offsets":[0,2],"shape":[2]}})", "12"), "a type and a shape"},
      {safetensors(R"({"a":{"data_offsets":[0,2],"dtype":"U8","shape":[-2]}})", "12"),
       "a type and a shape"},
      {safetensors(of("[1,2]"), "12"), "not side by side"},
      {safetensors(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                   R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                   "123"),
       "not side by side"},
      {safetensors(of("[0,9]"), "12"), "other data"},
      {safetensors(of("[0,1]"), "12"), "other data"},
  };
  for (const auto& [blob, why] : blobs) {
    write({{"a", blob}});
    EXPECT_THAT(error(), HasSubstr(why)) << blob;
    EXPECT_THAT(error(), HasSubstr(Digest::of(blob).blob_name()));
  }
}

TEST_F(TensorsFile, IsNoneIfTwoBlobsHaveATensorOfOneName) {
  write({{"a", one_tensor("x", "1")}, {"b", one_tensor("x", "2")}});
  EXPECT_THAT(error(), HasSubstr("has a tensor x that another blob has too"));
}

// A header of a hundred thousand open brackets costs no stack, and none is read without end.
TEST_F(TensorsFile, KeepsWithinItsLimits) {
  write({{"a", safetensors(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"b":)" +
                               std::string(100'000, '[') + std::string(100'000, ']') + "}}",
                           "1")}});
  EXPECT_EQ(error(), "");
  EXPECT_THAT(error({.header = 1000}), HasSubstr("too large"));
  EXPECT_THAT(error({.all_headers = 1000}), HasSubstr("too large"));
}

// As some models of images are stored.
TEST_F(TensorsFile, CallsATensorByItsLayerWhereTheBlobDoesNot) {
  write({{"vae/a", one_tensor("data", "1")},
         {"vae/b", one_tensor("data", "2")},
         {"text_encoder/x.weight", one_tensor("x.weight", "3")},
         {"transformer/x.weight", one_tensor("x.weight", "4")},
         {"transformer/y.weight", one_tensor("x.weight", "5")}});
  EXPECT_THAT(error(), HasSubstr("transformer/x.weight that another blob has too"));
  write({{"vae/a", one_tensor("data", "1")},
         {"vae/b", one_tensor("data", "2")},
         {"text_encoder/x.weight", one_tensor("x.weight", "3")},
         {"transformer/x.weight", one_tensor("transformer/x.weight", "4")}});
  const Parts file = parts_of(bytes());
  EXPECT_EQ(file.header.size(), 4U);
  EXPECT_EQ(data_of(file, "vae/a"), "1");
  EXPECT_EQ(data_of(file, "vae/b"), "2");
  EXPECT_EQ(data_of(file, "text_encoder/x.weight"), "3");
  EXPECT_EQ(data_of(file, "transformer/x.weight"), "4");
}

TEST_F(TensorsFile, IsNotTakenForDamagedForADiskThatFails) {
  write({{"a", one_tensor("a", "1")}});
  const StoreDir good{builder.root(), OutsideLinks::refuse};
  const auto catalog = Catalog::read(good);
  FaultPlan plan;
  const FaultyCalls calls{plan};
  const StoreDir store{builder.root(), OutsideLinks::refuse, {}, calls};
  for (const unsigned which : {call::kOpens, call::kFstat, call::kPread}) {
    plan.fail(which, EIO);
    EXPECT_THROW((void)tensors_file(store, catalog->models()[0]), std::system_error) << which;
  }
}

TEST_F(TensorsFile, IsNotTakenForDamagedForWantOfDescriptors) {
  write({{"a", one_tensor("a", "1")}});
  const StoreDir good{builder.root(), OutsideLinks::refuse};
  const auto catalog = Catalog::read(good);
  FaultPlan plan;
  const FaultyCalls calls{plan};
  const StoreDir store{builder.root(), OutsideLinks::refuse, {}, calls};
  plan.fail(call::kOpens, EMFILE);
  EXPECT_THROW((void)tensors_file(store, catalog->models()[0]), std::system_error);
}

}  // namespace
}  // namespace ollamafs::test
