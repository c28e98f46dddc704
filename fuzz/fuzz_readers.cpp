// Whatever bytes a file of the lab has: it is read or refused in our own words, and nothing else happens.
//
// Input: one byte chooses the reader, the rest is what it reads. Checkpoints get the magic number, the length
// and the checksum that belong to the rest, so that the parser behind them is reached.
#include <zlib.h>

#include <cmath>
#include <iterator>
#include <string>

#include "input.hpp"
#include "lab/forecast/csv.hpp"
#include "lab/forecast/earth_orientation.hpp"
#include "lab/llm/llm_kind.hpp"
#include "lab/replay/replay.hpp"
#include "lab/reproduce/records.hpp"
#include "lab/run/checkpoint.hpp"
#include "lab/run/torch_archive.hpp"
#include "lab/support/json.hpp"
#include "lab/support/numbers.hpp"
#include "lab/train/resume.hpp"

namespace gradstab::fuzz {
namespace {

using namespace gradstab::lab;

constexpr const char* kTheirWord = "json.exception";

void expect_our_words(const Status& status) {
  if (status.ok()) return;
  GRADSTAB_FUZZ_CHECK(!status.message().empty(), "an error says nothing");
  GRADSTAB_FUZZ_CHECK(status.message().find(kTheirWord) == std::string::npos, "%s", status.message().c_str());
}

template <class T>
void put(std::string& bytes, T value) {
  bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void try_checkpoint(const std::string& payload, std::uint32_t version) {
  std::string file = "GSTBCKPT";
  put(file, version);
  put(file,
      static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const Bytef*>(payload.data()), payload.size())));
  put(file, std::uint64_t{payload.size()});
  const auto checkpoint = parse_checkpoint(file + payload, "x");
  expect_our_words(checkpoint.status());
  if (!checkpoint) return;
  std::size_t sum = 0;
  for (const auto& [name, tensor] : checkpoint->tensors) {
    GRADSTAB_FUZZ_CHECK(byte_count(tensor.dtype, tensor.sizes) == tensor.bytes.size(), "%s", name.c_str());
    for (const char byte : tensor.bytes) sum += static_cast<unsigned char>(byte);
  }
  for (const auto& [name, blob] : checkpoint->blobs)
    for (const char byte : blob) sum += static_cast<unsigned char>(byte);
  GRADSTAB_FUZZ_CHECK(sum < static_cast<std::size_t>(-1), "every byte can be read");
  expect_our_words(
      resumed_progress(checkpoint->header, "x", default_options(llm_kind()), llm_kind().info(), Json(), 1000)
          .status());
}

void try_checkpoint_of_today(const std::string& text) {
  try_checkpoint(text, 2);
}
void try_checkpoint_of_archives(const std::string& text) {
  try_checkpoint(text, 1);
}
void try_archive(const std::string& text) {
  expect_our_words(read_torch_archive(text).status());
}
void try_settings(const std::string& text) {
  const auto json = parse_json_object(text, "run.json");
  expect_our_words(json.status());
  if (json)
    expect_our_words(train_options_from_json(llm_kind(), JsonReader(*json, "run.json")["settings"]).status());
}
void try_records(const std::string& text) {
  expect_our_words(records_from_json_lines(text).status());
}
void try_recording(const std::string& text) {
  const auto json = parse_json(text, "in.json");
  expect_our_words(json.status());
  if (json) expect_our_words(replay(*json, {}).status());
}
void try_number(const std::string& text) {
  expect_our_words(parse_number<double>(text).status());
  expect_our_words(parse_number<std::int64_t>(text).status());
  expect_our_words(parse_number<std::uint64_t>(text).status());
}

void try_series(const std::string& text) {
  const auto series = forecast::is_earth_orientation(text) ? forecast::parse_earth_orientation(text, "x")
                                                           : forecast::parse_csv(text, "x");
  expect_our_words(series.status());
  if (!series) return;
  GRADSTAB_FUZZ_CHECK(series->rows() > 0 && series->channel_count() > 0, "a series of nothing");
  GRADSTAB_FUZZ_CHECK(series->dates.empty() || std::ssize(series->dates) == series->rows(),
                      "dates of other rows");
  for (const double value : series->values)
    GRADSTAB_FUZZ_CHECK(std::isfinite(value), "a value that is no number");
}

constexpr void (*kReaders[])(const std::string&) = {try_checkpoint_of_today,
                                                    try_checkpoint_of_archives,
                                                    try_archive,
                                                    try_settings,
                                                    try_records,
                                                    try_recording,
                                                    try_number,
                                                    try_series};

}  // namespace
}  // namespace gradstab::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  gradstab::fuzz::Input input(data, size);
  const auto reader = input.pick(gradstab::fuzz::kReaders);
  const auto rest = input.rest();
  const std::string text(reinterpret_cast<const char*>(rest.data()), rest.size());
  // Errors quote what they were given, and the fuzzer finds this word by comparing.
  if (text.find(gradstab::fuzz::kTheirWord) == std::string::npos) reader(text);
  return 0;
}
