#include "store/describe/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <random>
#include <stdexcept>
#include <string>

#include "store/base/unique_fd.h"
#include "tests/support/gguf_builder.h"

namespace ollamafs::test {
namespace {

class Gguf : public testing::Test {
 protected:
  [[nodiscard]] static GgufHeader read(std::string_view bytes, const GgufLimits& limits = {}) {
    const UniqueFd fd{::memfd_create("gguf", MFD_CLOEXEC)};
    if (::write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
      throw std::runtime_error{"cannot write"};
    }
    return read_gguf(FileCalls::kernel(), fd.get(), limits);
  }

  // Why it cannot be read; empty: it can.
  [[nodiscard]] static std::string error(std::string_view bytes, const GgufLimits& limits = {}) {
    try {
      (void)read(bytes, limits);
      return {};
    } catch (const GgufError& error) {
      return error.what();
    }
  }

  [[nodiscard]] static GgufBuilder of_every_type(std::uint32_t version = 3) {
    GgufBuilder gguf{version};
    gguf.text("general.architecture", "llama")
        .value("u8", 0, "\xFF")
        .value("i8", 1, "\xFF")
        .value("u16", 2, GgufBuilder::raw(std::uint16_t{65535}))
        .value("i16", 3, GgufBuilder::raw(std::int16_t{-2}))
        .number("u32", 7)
        .value("i32", 5, GgufBuilder::raw(std::int32_t{-3}))
        .value("f32", 6, GgufBuilder::raw(0.5f))
        .value("yes", 7, "\x01")
        .value("words", 9,
               GgufBuilder::raw(std::uint32_t{8}) + gguf.length(2) + gguf.string("a") +
                   gguf.string("bc"))
        .value("numbers", 9,
               GgufBuilder::raw(std::uint32_t{4}) + gguf.length(3) + std::string(12, '\1'))
        .value("u64", 10, GgufBuilder::raw(std::uint64_t{1} << 40))
        .value("i64", 11, GgufBuilder::raw(std::int64_t{-1}))
        .value("f64", 12, GgufBuilder::raw(0.25))
        .tensor("a", {4, 8})
        .tensor("b", {3})
        .tensor("c", {});
    return gguf;
  }
};

TEST_F(Gguf, ReadsEveryTypeOfValue) {
  for (const std::uint32_t version : {1u, 2u, 3u}) {
    const GgufHeader header = read(of_every_type(version).bytes());
    EXPECT_EQ(header.version, version);
    EXPECT_EQ(header.text("general.architecture"), "llama");
    EXPECT_EQ(header.number("u8"), 255u);
    EXPECT_EQ(header.number("u16"), 65535u);
    EXPECT_EQ(header.number("u32"), 7u);
    EXPECT_EQ(header.number("u64"), std::uint64_t{1} << 40);
    EXPECT_EQ(header.values.at("i8"), GgufValue{std::int64_t{-1}});
    EXPECT_EQ(header.values.at("i16"), GgufValue{std::int64_t{-2}});
    EXPECT_EQ(header.values.at("i32"), GgufValue{std::int64_t{-3}});
    EXPECT_EQ(header.values.at("i64"), GgufValue{std::int64_t{-1}});
    EXPECT_EQ(header.values.at("f32"), GgufValue{0.5});
    EXPECT_EQ(header.values.at("f64"), GgufValue{0.25});
    EXPECT_EQ(header.values.at("yes"), GgufValue{true});
    EXPECT_EQ(header.values.at("words"), GgufValue{GgufArray{2}});
    EXPECT_EQ(header.values.at("numbers"), GgufValue{GgufArray{3}});
    EXPECT_EQ(header.tensors, 3u);
    EXPECT_EQ(header.parameters, 36u);
  }
}

TEST_F(Gguf, HasNoValueOfAnotherType) {
  const GgufHeader header = read(of_every_type().bytes());
  EXPECT_EQ(header.text("u8"), "");
  EXPECT_EQ(header.text("none"), "");
  EXPECT_EQ(header.number("general.architecture"), std::nullopt);
  EXPECT_EQ(header.number("i8"), std::nullopt);
  EXPECT_EQ(header.number("none"), std::nullopt);
}

TEST_F(Gguf, IsRefusedWhereverItIsCut) {
  for (const std::uint32_t version : {1u, 3u}) {
    const std::string bytes = of_every_type(version).bytes();
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_EQ(error(bytes.substr(0, size)), "is cut short: its header has no end") << size;
    }
    EXPECT_EQ(error(bytes), "");
  }
}

TEST_F(Gguf, IsRefusedIfItIsNone) {
  EXPECT_EQ(error(std::string(100, '\0')), "is not a GGUF file");
  EXPECT_EQ(error("GGUF" + GgufBuilder::raw(std::uint32_t{4})),
            "is GGUF of version 4, which is not known");
  EXPECT_EQ(error("GGUF" + GgufBuilder::raw(std::uint32_t{0x03000000})),  // big endian
            "is GGUF of version 50331648, which is not known");
  EXPECT_EQ(error(GgufBuilder{}.value("a", 13, "").bytes()),
            "has a value of a type that is not known, 13");
  EXPECT_EQ(error(GgufBuilder{}
                      .value("a", 9, GgufBuilder::raw(std::uint32_t{9}) + std::string(100, '\0'))
                      .bytes()),
            "has a value of a type that is not known, 9");
}

TEST_F(Gguf, IsNotBelievedInItsCounts) {
  const auto huge = ~std::uint64_t{0};
  const auto head = [](std::uint64_t tensors, std::uint64_t values) {
    return "GGUF" + GgufBuilder::raw(std::uint32_t{3}) + GgufBuilder::raw(tensors) +
           GgufBuilder::raw(values) + std::string(100, '\0');
  };
  EXPECT_EQ(error(head(huge, 0)), "says that it has more than 1048576 tensors");
  EXPECT_EQ(error(head(0, huge)), "says that it has more than 65536 values");
  EXPECT_EQ(error(head(0, 65536)), "is cut short: its header has no end");
  const auto array = [&](std::uint32_t type, std::uint64_t count) {
    return error(
        GgufBuilder{}.value("a", 9, GgufBuilder::raw(type) + GgufBuilder::raw(count)).bytes());
  };
  EXPECT_THAT(array(4, huge), testing::HasSubstr("more than"));
  EXPECT_EQ(array(4, 1u << 20), "is cut short: its header has no end");
  EXPECT_EQ(array(8, huge), "is cut short: its header has no end");
  EXPECT_THAT(error(GgufBuilder{}.value("a", 8, GgufBuilder::raw(huge)).bytes()),
              testing::HasSubstr("has a text of more than"));
  EXPECT_EQ(error(GgufBuilder{}.value("a", 8, GgufBuilder::raw(std::uint64_t{1} << 20)).bytes()),
            "is cut short: its header has no end");
  EXPECT_THAT(error(GgufBuilder{}.tensor("t", {huge, huge}).bytes()),
              testing::HasSubstr("elements of a tensor"));
  EXPECT_THAT(error(GgufBuilder{}.tensor("t", {1, 1, 1, 1, 1, 1, 1, 1, 1}).bytes()),
              testing::HasSubstr("dimensions"));
}

TEST_F(Gguf, HasLimitsForAllThatIsReadAndKept) {
  const std::string bytes = GgufBuilder{}.text("a", std::string(1000, 'x')).bytes();
  EXPECT_EQ(error(bytes, {.bytes = 500}), "has a header of more than 500 bytes");
  EXPECT_EQ(error(bytes, {.string = 999}), "has a text of more than 999 bytes");
  EXPECT_EQ(error(bytes, {.strings = 1000}), "has texts of more than 1000 bytes");
  EXPECT_EQ(error(bytes, {.bytes = 2000, .string = 1000, .strings = 1001}), "");
}

// No crash, no hang, no unbounded memory, whatever stands there.
TEST_F(Gguf, SurvivesWrongBytesAnywhere) {
  const std::string bytes = of_every_type().bytes();
  std::mt19937 random{1};
  for (int i = 0; i < 3000; ++i) {
    std::string wrong = bytes;
    for (int n = 0; n < 3; ++n) wrong[random() % wrong.size()] = static_cast<char>(random());
    (void)error(wrong, {.bytes = 1u << 20});
  }
}

}  // namespace
}  // namespace ollamafs::test
