// make_corpus FOLDER: the first inputs of fuzz_state_loader, states of every transform it tries, and of
// fuzz_readers, one document of each kind.
//
// Those of fuzz_readers that begin with "torch_" were written by LibTorch 1.13 (a module of two linear
// layers, torch::save of its SGD, and both in a checkpoint of format version 1). Those of fuzz_backends have
// no shape to speak of; they are what libFuzzer kept after runs from nothing. Those of fuzz_pictures are the
// files in tests/lab/vision/golden/golden.json, a table of each kind, and five bytes before each.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "core/base/state_codec.hpp"
#include "lab/llm/llm_kind.hpp"
#include "lab/reproduce/records.hpp"
#include "lab/run/checkpoint.hpp"
#include "lab/run/progress.hpp"
#include "lab/support/files.hpp"
#include "state_subjects.hpp"

namespace gradstab::fuzz {
namespace {

void write(const std::filesystem::path& file, std::uint8_t subject, bool payload,
           std::span<const std::byte> bytes) {
  std::ofstream out(file, std::ios::binary);
  out.put(static_cast<char>(subject)).put(payload ? 1 : 0);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void make_states(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  std::uint8_t index = 0;
  for (const StateSubject& subject : kStateSubjects) {
    GradientTransform transform = subject.make();
    transform.init(state_parameters()).check();
    const std::string name = subject.name;
    write(folder / (name + "_fresh"), index, true, unwrap_state(transform.save().value()).value());
    for (int i = 0; i < 12; ++i) step(transform, i).check();
    const auto state = transform.save().value();
    write(folder / (name + "_payload"), index, true, unwrap_state(state).value());
    write(folder / (name + "_state"), index, false, state);
    ++index;
  }
}

void write_document(const std::filesystem::path& file, char reader, const std::string& text) {
  std::ofstream(file, std::ios::binary) << reader << text;
}

/// The payload of a checkpoint of today.
std::string checkpoint_payload(const std::filesystem::path& folder) {
  constexpr std::size_t kPreambleBytes = 24;
  lab::Checkpoint checkpoint;
  checkpoint.header = {{"progress", lab::to_json(lab::Progress(), lab::llm_kind().info())},
                       {"model", nullptr},
                       {"settings", lab::to_json(lab::default_options(lab::llm_kind()))}};
  checkpoint.tensors["weights/a"] = {DType::float32, {2, 1}, "01234567"};
  checkpoint.tensors["weights/b"] = {DType::bfloat16, {}, "01"};
  checkpoint.blobs["optimizer"] = "state";
  const std::filesystem::path file = folder / "checkpoint";
  lab::write_checkpoint(file, checkpoint).check();
  const std::string bytes = lab::read_file(file, lab::kCheckpointFile).value();
  std::filesystem::remove(file);
  return bytes.substr(kPreambleBytes);
}

std::string records() {
  lab::Records records;
  records.item = "figure-1";
  records.scale = "smoke";
  lab::ItemRun& run = records.runs.emplace_back();
  run.coordinates = {{"lr", "0.003"}};
  run.state = "finished";
  records.measures = lab::llm_kind().info();
  run.options = lab::default_options(lab::llm_kind());
  run.evaluations = {{.step = 1, .values = {2.5, 12.2}}};
  run.training_loss = run.grad_norm = run.stabilized_norm = {1.5, 0.5};
  return lab::to_json_lines(records);
}

/// The first byte is the reader's place in fuzz_readers.cpp.
void make_documents(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  write_document(folder / "checkpoint", 0, checkpoint_payload(folder));
  write_document(folder / "settings", 3,
                 lab::Json({{"settings", lab::to_json(lab::default_options(lab::llm_kind()))}}).dump());
  write_document(folder / "records", 4, records());
  write_document(folder / "recording", 5,
                 R"({"format":1,"method":"adam","cases":[{"name":"c","hyper":{"lr":0.1},"tensors":[{"name":)"
                 R"("w","shape":[2],"init":[0,0.5]}],"steps":[{"t":1,"grad":[[1,2.5]]}]}]})");
  write_document(folder / "recording_of_values", 5,
                 R"({"format":1,"method":"int4","cases":[{"name":"c","hyper":{"group":2,"seed":3},)"
                 R"("shape":[2],"input":[0.5,1]}]})");
  write_document(folder / "number", 6, "-1.5e-3");
  write_document(folder / "series", 7,
                 "date,a,\"b \"\"c\"\"\"\r\n2020-01-01 00:00:00,1,2.5\r\n2020-01-01 01:00:00,-1e3, 3\r\n");
  write_document(folder / "earth_orientation", 7,
                 "#  EOP (IERS) 20 C04 TIME SERIES\n"
                 "1962   1   1  0  37665.00  -0.012700   0.213000   0.0326338   0.000000   0.000000\n");
}

}  // namespace
}  // namespace gradstab::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: make_corpus FOLDER\n";
    return 2;
  }
  gradstab::fuzz::make_states(std::filesystem::path(argv[1]) / "fuzz_state_loader");
  gradstab::fuzz::make_documents(std::filesystem::path(argv[1]) / "fuzz_readers");
}
