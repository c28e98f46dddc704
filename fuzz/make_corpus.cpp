// make_corpus FOLDER: the first inputs of fuzz_state_loader, states of every transform it tries, and of
// fuzz_readers and fuzz_traces, one document of each kind.
//
// Those of fuzz_readers that begin with "torch_" were written by LibTorch 1.13 (a module of two linear
// layers, torch::save of its SGD, and both in a checkpoint of format version 1). Those of fuzz_backends have
// no shape to speak of; they are what libFuzzer kept after runs from nothing. Those of fuzz_pictures are the
// files in tests/lab/vision/golden/golden.json, a table of each kind, and five bytes before each.
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "core/base/state_codec.hpp"
#include "gradstab/recording.hpp"
#include "gradstab/transform.hpp"
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

/// A field of a protobuf message with bytes in it.
std::string field(int number, const std::string& bytes) {
  return std::string{static_cast<char>(number << 3 | 2), static_cast<char>(bytes.size())} + bytes;
}

/// A recording of two tensors: as it is, and its blocks without lengths and checksums.
void make_recordings(const std::filesystem::path& folder) {
  std::vector<std::byte> bytes;
  RecordingEncoder encoder;
  RecordingEncoder::start(bytes);
  std::vector<std::size_t> ends = {bytes.size()};
  encoder.header({{{"w", 6, "float32"}, {"b", 2, ""}}, {{"beta2", "0.95"}}}, bytes).check();
  ends.push_back(bytes.size());
  for (const std::vector<double>& norms : {std::vector{3.0, 4.0}, {kNoGradient, 1e300}}) {
    encoder.step(static_cast<std::int64_t>(ends.size()), 2.5, norms, bytes).check();
    ends.push_back(bytes.size());
  }
  const std::string whole(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  write_document(folder / "recording", 11, whole);
  constexpr std::size_t kFront = 12;
  constexpr std::size_t kFooter = 4;
  std::string blocks;
  for (std::size_t i = 0; i + 1 < ends.size(); ++i) {
    const bool is_step = i > 0;
    const std::size_t begin = ends[i] + kFront + (is_step ? 4 : 0);  // the header's checksum is made again
    const std::string payload = whole.substr(begin, ends[i + 1] - kFooter - begin);
    blocks += static_cast<char>(payload.size() << 1 | (is_step ? 1 : 0)) + payload;
  }
  write_document(folder / "recording_blocks", 12, blocks);
}

/// The first byte is the reader's place in fuzz_traces.cpp.
void make_logs(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const std::string table = "step,loss,grad_norm\r\n1,2.5,1.5\r\n2,\"2,345.5\",nan\r\n";
  write_document(folder / "any", 0, table);
  write_document(folder / "csv", 1, table);
  write_document(folder / "csv_of_tensors", 1, "step;grad_norm/a;grad_norm/b\n1;3;4\n1;\"5\";\n");
  write_document(folder / "json_lines", 2, R"({"step":1,"optim":{"grad_norm":NaN},"loss":2}{"mode":"val"})");
  write_document(
      folder / "trainer_state", 3,
      R"({"log_history":[{"step":1,"grad_norm":-Infinity,"loss":2.5},{"eval_loss":1}],"logging_steps":1})");
  const char* const lines[] = {" iteration        1/  250 | lm loss: 1.1E+01 | grad norm: 16.4 |",
                               "\x1b[31mstep:  1  \x1b[32mloss: 11.7  \x1b[33mgrad_norm: 1,234.5  ",
                               "step     0 | loss: 10.9 | lr 6.0e-04 | norm: 15.3 | dt",
                               "s:0 trl:11.0091 lr:0.000001 norm:15.37",
                               "train_inner | epoch 001: 101 / 1102 loss=12.6, num_updates=100, gnorm=3.6,",
                               "step:1 - actor/pg_loss:0.1 - actor/grad_norm:np.float64(0.4002)",
                               "Epoch(train)  [1][ 50/151]  lr: 1  loss: 2.5  grad_norm: 5.5",
                               "{'loss': 1.2, 'grad_norm': nan, 'epoch': 0.27}"};
  int number = 0;
  for (const char* line : lines)
    write_document(folder / ("text_log_" + std::to_string(number++)), 4,
                   std::string(line) + "\n" + line + "\n");
  write_document(folder / "pattern", 5, "it (?P<step>\\d+) (?P<norm>\\S+)\nit 1 2.5\n");
  write_document(folder / "number", 6, "np.float64(-1,234.5e3)");
  // Event{step 1, summary{value{tag, simple_value 1.5}}}, and the same with a tensor of one float.
  const std::string simple = field(1, "grad_norm") + std::string("\x15\x00\x00\xc0\x3f", 5);
  const std::string tensor =
      field(1, "grad_norm") + field(8, std::string("\x08\x01", 2) + field(5, std::string("\0\0\xc0\x3f", 4)));
  std::string events;
  for (const std::string& value : {simple, tensor}) {
    const std::string event = std::string("\x10\x01", 2) + field(5, field(1, value));
    events += static_cast<char>(event.size()) + event;
  }
  write_document(folder / "events", 8, events);
  // Record{history{item{key, value_json}}}.
  const std::string record =
      field(2, field(1, field(1, "grad_norm") + std::string("\x82\x01\x03", 3) + "1.5"));
  write_document(folder / "wandb", 10, static_cast<char>(record.size() << 2) + record);
  make_recordings(folder);
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
  gradstab::fuzz::make_logs(std::filesystem::path(argv[1]) / "fuzz_traces");
}
