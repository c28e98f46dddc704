// Logs of every kind, each in the form in which its program writes it, made by hand: the names and numbers
// stand where that program has them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "kept_trace.hpp"
#include "lab/inspect/readers/lines.hpp"
#include "lab/inspect/readers/log_number.hpp"
#include "lab/inspect/readers/open.hpp"

namespace gradstab::lab::inspect {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// What two records are read as, whatever the kind of log.
void expect_records(const Kept& kept, std::vector<std::int64_t> steps, std::vector<double> norms,
                    std::vector<double> losses) {
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_EQ(kept.steps, steps);
  EXPECT_EQ(kept.norms, norms);
  ASSERT_EQ(kept.losses.size(), losses.size());
  for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_THAT(kept.losses[i], Optional(losses[i]));
}

TEST(LogNumberTest, IsANumberAndNothingElse) {
  EXPECT_THAT(log_number("1.5"), Optional(1.5));
  EXPECT_THAT(log_number(" +1.5 "), Optional(1.5));
  EXPECT_THAT(log_number("-2e-3"), Optional(-2e-3));
  EXPECT_THAT(log_number("\"20.751\""), Optional(20.751));
  EXPECT_THAT(log_number("1,234"), Optional(1234.0));
  EXPECT_THAT(log_number("1,234,567.25"), Optional(1234567.25));
  EXPECT_THAT(log_number("Infinity"), Optional(kInfinity));
  EXPECT_THAT(log_number("-inf"), Optional(-kInfinity));
  EXPECT_TRUE(std::isnan(log_number("NaN").value()));
  EXPECT_THAT(log_number("1e400"), Optional(kInfinity));
  EXPECT_THAT(log_number("1e-400"), Optional(0.0));
  EXPECT_THAT(log_number("np.float64(0.4002)"), Optional(0.4002));
  EXPECT_THAT(log_number("tensor(0.5, device='cuda:0')"), Optional(0.5));
  for (const char* text :
       {"", " ", "None", "null", "1,23", "1,2345", "1.5x", "0x10", "info", "nano", "--1", "1 2", "-"})
    EXPECT_EQ(log_number(text), std::nullopt) << text;
}

/// Lines of a stream that gives so many bytes at a time.
std::vector<std::string> lines_of(std::string_view text, std::size_t at_once) {
  class Slow : public ByteStream {
   public:
    Slow(std::string_view text, std::size_t at_once) : text_(text), at_once_(at_once) {}
    Result<std::size_t> read(std::span<char> into) override {
      const std::size_t count = std::min({at_once_, into.size(), text_.size()});
      std::copy_n(text_.data(), count, into.data());
      text_.remove_prefix(count);
      return count;
    }

   private:
    std::string_view text_;
    std::size_t at_once_;
  } bytes(text, at_once);
  LineReader lines(bytes);
  std::vector<std::string> found;
  while (const auto line = lines.next()) found.emplace_back(*line);
  EXPECT_EQ(lines.number(), found.size());
  return found;
}

TEST(LineReaderTest, EndsLinesInAllThreeWaysHoweverTheBytesCome) {
  for (const std::size_t at_once : {1, 2, 3, 100}) {
    SCOPED_TRACE(at_once);
    EXPECT_THAT(lines_of("a\nb\r\nc\rd", at_once), ElementsAre("a", "b", "c", "d"));
    EXPECT_THAT(lines_of("\r\n\r\r\n\n\r", at_once), ElementsAre("", "", "", "", ""));
    EXPECT_THAT(lines_of("a\r", at_once), ElementsAre("a"));
    EXPECT_THAT(lines_of("", at_once), ElementsAre());
  }
}

TEST(ReadersTest, Megatron) {
  Kept kept;
  read_text(
      "[default7]: [2024-01-01] iteration        1/  250000 | consumed samples:          192 | lm loss: "
      "1.121008E+01 | "
      "loss scale: 1.0 | grad norm: 16.406 | num zeros: 0.0 | number of skipped iterations:   0 | number of "
      "nan iterations:   0 |\n"
      "[default7]: [2024-01-01] iteration        2/  250000 | consumed samples:          384 | "
      "loss scale: 1.0 | number of skipped iterations:   1 | number of nan iterations:   0 |\n"
      "[default7]: [2024-01-01] iteration        3/  250000 | consumed samples:          576 | lm loss: "
      "1.0E+01 | "
      "loss scale: 1.0 | grad norm: 1.500 |\n",
      kept);
  expect_records(kept, {1, 3}, {16.406, 1.5}, {11.21008, 10.0});
  EXPECT_EQ(kept.facts.format, "Megatron text log");
  EXPECT_THAT(kept.facts.clipping, HasSubstr("before clipping"));
}

TEST(ReadersTest, MegatronWithDeepSpeed) {
  Kept kept;
  read_text(
      " iteration        1/    1000 | consumed samples:         1024 | lm-loss: 1.2500E+01 | loss scale: "
      "-1.0 | grad "
      "norm: 0.500 | num zeros: 0.0 |\n",
      kept);
  expect_records(kept, {1}, {0.5}, {12.5});
  EXPECT_EQ(kept.facts.loss_name, "lm-loss");
}

TEST(ReadersTest, TorchtitanWithColoursAndCommasAndTwoRanks) {
  const std::string line =
      "[rank0]:[titan] 2025-01-01 00:00:00,000 - root - INFO - \x1b[31mstep: {}  \x1b[32mloss: 11.75  "
      "\x1b[38;2;180;60;0mgrad_norm: {}  \x1b[34mmemory: 10.00GiB(1.00%)  tps: 6,851  \x1b[39m\n";
  const auto at = [&](const std::string& step, const std::string& norm) {
    std::string text = line;
    text.replace(text.find("{}"), 2, step);
    return text.replace(text.find("{}"), 2, norm);
  };
  Kept kept;
  read_text(at(" 1", "87439263494307840.0000") + at(" 1", "9.0000") + at("1,000", "1,234.5000") +
                at("1,001", "nan"),
            kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 1000, 1001));
  EXPECT_EQ(kept.norms[0], 87439263494307840.0);
  EXPECT_EQ(kept.norms[1], 1234.5);
  EXPECT_TRUE(std::isnan(kept.norms[2]));
  EXPECT_EQ(kept.facts.repeated, 1) << "another rank's line of the same step";
  EXPECT_EQ(kept.facts.format, "torchtitan text log");
}

TEST(ReadersTest, NanoGptAndLlmC) {
  Kept kept;
  read_text(
      "using device: cuda\nstep     0 | loss: 10.955010 | lr 6.0000e-04 | norm: 15.3420 | dt: 85.1ms | "
      "tok/sec: 6156.1\n"
      "validation loss: 10.9\nstep     1 | loss: 9.500000 | lr 6.0000e-04 | norm: 2.5000 | dt: 85.1ms | "
      "tok/sec: 6156.1\n",
      kept);
  expect_records(kept, {0, 1}, {15.342, 2.5}, {10.95501, 9.5});
  EXPECT_EQ(kept.facts.format, "nanoGPT text log");
  Kept llm;
  read_text("s:0 tel:11.0\ns:0 trl:11.0091 lr:0.000001 norm:15.37\ns:1 trl:10.5 lr:0.000002 norm:14.00\n",
            llm);
  expect_records(llm, {0, 1}, {15.37, 14.0}, {11.0091, 10.5});
  EXPECT_EQ(llm.facts.format, "llm.c text log");
}

TEST(ReadersTest, FairseqInBothForms) {
  Kept kept;
  read_text(
      "2020-01-01 00:00:00 | INFO | train_inner | epoch 001:    101 / 1102 loss=12.623, nll_loss=12.5, "
      "num_updates=100, "
      "lr=1.25e-05, gnorm=3.609, clip=0, loss_scale=64, train_wall=28\n"
      "2020-01-01 00:00:00 | INFO | train_inner | epoch 001:    201 / 1102 loss=11.5, num_updates=200, "
      "gnorm=2.5, clip=0\n",
      kept);
  expect_records(kept, {100, 200}, {3.609, 2.5}, {12.623, 11.5});
  EXPECT_THAT(kept.facts.averaging, HasSubstr("fairseq"));
  Kept json;
  read_text(
      "2020-01-01 | INFO | train_inner | {\"epoch\": 1, \"loss\": \"12.623\", \"num_updates\": \"100\", "
      "\"gnorm\": \"20.751\"}\n",
      json);
  expect_records(json, {100}, {20.751}, {12.623});
}

TEST(ReadersTest, VerlWithNumpyNumbers) {
  Kept kept;
  read_text(
      "step:1 - actor/pg_loss:np.float64(0.25) - actor/grad_norm:np.float64(0.4002) - "
      "critic/rewards/mean:0.1\n"
      "step:2 - actor/pg_loss:-0.5 - actor/grad_norm:0.5\n",
      kept);
  expect_records(kept, {1, 2}, {0.4002, 0.5}, {0.25, -0.5});
}

TEST(ReadersTest, MmengineCountsEpochsAndSaysThatNormsAreMeans) {
  Kept kept;
  read_text(
      "01/01 00:00:00 - mmengine - INFO - Epoch(train)  [1][ 50/151]  lr: 1e-3  loss: 2.5  grad_norm: "
      "508204.0882\n"
      "01/01 00:00:00 - mmengine - INFO - Epoch(val)  [1][ 50/151]  loss: 9.5\n"
      "01/01 00:00:00 - mmengine - INFO - Epoch(train)  [2][ 50/151]  lr: 1e-3  loss: 1.5  grad_norm: 3.5\n",
      kept);
  expect_records(kept, {50, 201}, {508204.0882, 3.5}, {2.5, 1.5});
  EXPECT_THAT(kept.facts.averaging, HasSubstr("10 iterations"));
  Kept iterations;
  read_text(
      "01/01 00:00:00 - mmengine - INFO - Iter(train) [   100/160000]  lr: 1e-3  grad_norm: 4.5  loss: 2.5\n",
      iterations);
  expect_records(iterations, {100}, {4.5}, {2.5});
}

TEST(ReadersTest, ConsoleOfTheTrainerHasNoSteps) {
  Kept kept;
  read_text(
      "{'loss': 1.25, 'grad_norm': nan, 'learning_rate': 2e-05, 'epoch': 0.27}\n"
      " 10%|#  | 10/100 [00:01<00:09]{'loss': 1.0, 'grad_norm': 0.75, 'learning_rate': 2e-05, 'epoch': "
      "0.3}\n",
      kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 2));
  EXPECT_TRUE(std::isnan(kept.norms[0]));
  EXPECT_EQ(kept.norms[1], 0.75);
  EXPECT_EQ(kept.facts.step_name, "");
}

TEST(ReadersTest, LerobotCountsInThousands) {
  Kept kept;
  read_text("INFO step:7K smpl:28K ep:17 epch:0.70 loss:0.186 grdn:0.190 lr:7.8e-05\n", kept);
  expect_records(kept, {7000}, {0.190}, {0.186});
  // Five lines of a thousand have the same "1K".
  Kept run;
  read_text(
      "INFO step:600 smpl:5K ep:31 epch:0.1 loss:0.5 grdn:9.5 lr:1e-05\nINFO step:800 smpl:6K ep:31 epch:0.1 "
      "loss:0.25 grdn:8.5 lr:1e-05\nINFO step:1K smpl:8K ep:31 epch:0.1 loss:0.75 grdn:7.5 lr:1e-05\nINFO "
      "step:1K smpl:10K ep:31 epch:0.1 loss:0.5 grdn:6.5 lr:1e-05\nINFO step:1K smpl:11K ep:31 epch:0.1 "
      "loss:0.5 grdn:5.5 lr:1e-05\n",
      run);
  expect_records(run, {600, 800, 1000, 1200, 1400}, {9.5, 8.5, 7.5, 6.5, 5.5}, {0.5, 0.25, 0.75, 0.5, 0.5});
  EXPECT_EQ(run.facts.repeated, 0);
  EXPECT_EQ(run.facts.step_name, "step");
  EXPECT_THAT(run.facts.notes, ElementsAre(HasSubstr("they were counted on, 200 from one line to the next")));
}

TEST(ReadersTest, SwinHasValuesBeforeTheirMeans) {
  Kept kept;
  read_text(
      "[2022-01-01 net] (main.py 226): INFO Train: [0/300][1250/1251]\teta 0:10:52 lr 0.0007\ttime 0.5 "
      "(0.75)\tloss 6.5 (6.25)\tgrad_norm 6.75 (10.5)\tmem 14764MB\n"
      "[2022-01-01 net] (main.py 226): INFO Train: [1/300][ 10/1251]\teta 0:10:45 lr 0.0007\t wd 0.05\ttime "
      "0.5 "
      "(0.75)\tloss 5.5 (6.25)\tgrad_norm inf (inf)\tloss_scale 65536.0000 (65536.0000)\tmem 14764MB\n",
      kept);
  expect_records(kept, {1250, 1261}, {6.75, kInfinity}, {6.5, 5.5});
  EXPECT_EQ(kept.facts.format, "Swin text log");
  EXPECT_EQ(kept.facts.averaging, "");
}

TEST(ReadersTest, MetricLoggerShowsMedians) {
  Kept kept;
  read_text(
      "Epoch: [0]  [ 90/100]  eta: 0:01:00  lr: 0.1  closs: 2.5 (2.25)  grad_norm: 0.5 (1.25)  time: 0.5  "
      "data: "
      "0.1  max mem: 5\n"
      "Epoch: [0] Total time: 0:01:00\n"
      "Averaged stats: lr: 0.1  closs: 2.5 (2.25)  grad_norm: 7.5 (1.25)\n"
      "Epoch: [1/30]  [  0/100]  eta: 0:01:00  lr: 0.1  closs: 2.25 (2.25)  grad_norm: 0.75 (1.25)  time: "
      "0.5  "
      "data: 0.1  max mem: 5\n",
      kept);
  expect_records(kept, {90, 100}, {0.5, 0.75}, {2.5, 2.25});
  EXPECT_EQ(kept.facts.loss_name, "closs");
  EXPECT_THAT(kept.facts.averaging, HasSubstr("the median of the last 20 iterations"));
}

TEST(ReadersTest, EspnetNumbersBatchesOfAnEpoch) {
  Kept kept;
  read_text(
      "[host] 2023-01-01 12:00:00,339 (trainer:732) INFO: 8epoch:train:2901-3000batch: iter_time=0.070, "
      "si_snr_loss=-17.5, loss=-17.25, grad_norm=37.5, clip=100.000, loss_scale=1.000, optim0_lr0=3.765e-04\n"
      "[host] 2023-01-01 12:00:00,339 (trainer:338) INFO: 8epoch results: [train] loss=-17.0, "
      "grad_norm=36.5, "
      "[valid] loss=-15.5\n"
      "[host] 2023-01-01 12:00:00,339 (trainer:732) INFO: 9epoch:train:1-100batch: loss=-18.25, "
      "grad_norm=inf\n",
      kept);
  expect_records(kept, {1, 2}, {37.5, kInfinity}, {-17.25, -18.25});
  EXPECT_EQ(kept.facts.step_name, "");
  EXPECT_THAT(kept.facts.averaging, HasSubstr("ESPnet"));
}

TEST(ReadersTest, OlmoHasTheStepOnALineBefore) {
  Kept kept;
  read_text(
      "2024-01-01 host:0 olmo.train:908 INFO [step=1/7000,epoch=0]\n    optim/total_grad_norm=231.5\n    "
      "train/CrossEntropyLoss=12.5\n    train/Perplexity=195,153\n"
      "2024-01-01 host:0 olmo.train:908 INFO [step=2/7000,epoch=0]\n    train/CrossEntropyLoss=11.5\n    "
      "optim/total_grad_norm=2.5\n"
      "2024-01-01 host:0 olmo.train:908 INFO [step=3/7000,epoch=0]\n    throughput/total_tokens=5\n",
      kept);
  expect_records(kept, {1, 2}, {231.5, 2.5}, {12.5, 11.5});
  EXPECT_EQ(kept.facts.step_name, "step");
}

TEST(ReadersTest, MmcvByIterationsAndFairseqByEpochs) {
  Kept kept;
  read_text(
      "2024-01-01 - mmdet - INFO - Iter [16100/87900]\tlr: 1e-04, eta: 1 day, 18:40:26, loss_cls: 1.0, loss: "
      "21.5, "
      "grad_norm: 45.5\n",
      kept);
  expect_records(kept, {16100}, {45.5}, {21.5});
  Kept summary;
  read_text(
      "| epoch 027 | loss 4.25 | nll_loss 2.5 | num_updates 8835 | lr 0.0003 | gnorm 0.75 | clip 0.000\n"
      "| epoch 027 | valid on 'valid' subset | loss 9.5 | num_updates 8835\n",
      summary);
  expect_records(summary, {8835}, {0.75}, {4.25});
  EXPECT_THAT(summary.facts.averaging, HasSubstr("the mean over an epoch"));
}

TEST(ReadersTest, OtherTextLogs) {
  Kept capitals;
  read_text("Epoch 1 | Step    100 | Param Norm: 30.5 | Loss: 4.5 | LR: 1e-4 | Grad Norm: 0.75\n", capitals);
  expect_records(capitals, {100}, {0.75}, {4.5});
  Kept algoperf;
  read_text("I0101 12:00:00 submission_runner.py:1] 100) global_step=100, grad_norm=0.25, loss=9.5\n",
            algoperf);
  expect_records(algoperf, {100}, {0.25}, {9.5});
  Kept words;
  read_text("iteration 3/149 | val_loss: 9.5 | reduced_train_loss: 1.25 | optim/grad_norm_total: 2.5\n",
            words);
  expect_records(words, {3}, {2.5}, {1.25});
  EXPECT_EQ(words.facts.loss_name, "reduced_train_loss");
  EXPECT_EQ(words.facts.norm_name, "optim/grad_norm_total");
  Kept blanks;
  read_text("  Step  10,000 | loss 2.5 | lr 0.02480 | gnorm 0.25 | 94s elapsed\n", blanks);
  expect_records(blanks, {10000}, {0.25}, {2.5});
  Kept prime;
  read_text("12:00:00 [INFO] [Rank 0] step: 1, loss: 10.5, grad_norm: 1.5\n", prime);
  expect_records(prime, {1}, {1.5}, {10.5});
  EXPECT_EQ(prime.facts.clipping, "") << "not everything with a step is torchtitan's";
  // What is printed first are settings; once a name was found, no other counts.
  Kept settings;
  read_text(
      "max_grad_norm: 1.0\ngrad_norm_clip=1.0\nnorm: 5\nstep 1 loss 2.5\nstep 1 | loss: 2.5 | gradnorm: 0.5\n"
      "val loss: 7.5, weight norm: 30.5\nstep 2 | val loss: 9.5 | loss: 2.25 | gradnorm: 0.75\n",
      settings);
  expect_records(settings, {1, 2}, {0.5, 0.75}, {2.5, 2.25});
  Kept alone;
  read_text("grad_norm: 1.5\ngrad_norm: 2.5\n", alone);
  EXPECT_THAT(alone.norms, ElementsAre(1.5, 2.5)) << "neither a step nor a loss anywhere";
}

TEST(ReadersTest, ProgressBarsWriteOverTheirLine) {
  Kept kept;
  read_text(
      "Epoch 0:   1%|  | 1/9 [loss=3.5, global_step=1.0, grad_norm=0.5]\rEpoch 0:   2%|  | 2/9 [loss=3.25, "
      "global_step=2.0, grad_norm=0.75]\r\nEpoch 0:   3%|  | 3/9 [loss=3.0, global_step=3.0, "
      "grad_norm=1.5]\r",
      kept);
  expect_records(kept, {1, 2, 3}, {0.5, 0.75, 1.5}, {3.5, 3.25, 3.0});
  Kept mac;
  read_text("step,grad_norm,loss\r1,0.5,2.5\r2,0.75,2.25\r", mac);
  expect_records(mac, {1, 2}, {0.5, 0.75}, {2.5, 2.25});
}

TEST(ReadersTest, PatternOfTheUser) {
  ReadOptions options{.pattern = R"(it (?P<step>\d+) L (?P<loss>\S+) G (?P<norm>\S+))"};
  Kept kept;
  read_text("start\nit 5 L 2.5 G 1,024.5\nit 6 L 2.25 G nan\n", kept, options);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(5, 6));
  EXPECT_EQ(kept.norms[0], 1024.5);
  EXPECT_EQ(refusal("it 5", {.pattern = "(?P<norm>x"}),
            "'log': --pattern is no regular expression of RE2: missing ): (?P<norm>x");
  EXPECT_THAT(refusal("it 5", {.pattern = "it (.*)"}), HasSubstr("needs a group of the name norm"));
  EXPECT_THAT(refusal("it 5", {.pattern = "G (?P<norm>.*)"}), HasSubstr("no line fits"));
  EXPECT_THAT(refusal("it abc", {.pattern = "it (?P<norm>.*)"}),
              HasSubstr("1 lines fit --pattern, but its group norm is no number"));
}

TEST(ReadersTest, CsvOfLightningJoinsRowsOfAStep) {
  Kept kept;
  read_text(
      "epoch,grad_2.0_norm/a.weight,grad_2.0_norm/b.weight,grad_2.0_norm_total,step,train_loss,val_loss\r\n"
      "0,3.0,4.0,5.0,49,,\r\n"
      "0,,,,49,2.5,\r\n"
      "0,,,,49,,9.5\r\n"
      "0,6.0,8.0,10.0,99,2.25,\r\n",
      kept);
  expect_records(kept, {49, 99}, {5.0, 10.0}, {2.5, 2.25});
  EXPECT_THAT(kept.facts.tensors, ElementsAre("a.weight", "b.weight"));
  ASSERT_EQ(kept.tensors[1].size(), 2u);
  EXPECT_EQ(kept.tensors[1][1].norm, 8.0);
  Kept total;
  read_text("step,grad_2.0_norm/a,grad_2.0_norm/b\n1,3,4\n", total);
  ASSERT_TRUE(total.status.ok()) << total.status.message();
  EXPECT_THAT(total.norms, ElementsAre(5.0)) << "the norms of the tensors make the global norm";
}

TEST(ReadersTest, CsvChartOfWandbIsReadByItsLargestValues) {
  Kept kept;
  read_text(
      "\"Step\",\"run - a - train/grad_norm\",\"run - a - train/grad_norm__MIN\",\"run - a - "
      "train/grad_norm__MAX\"\n"
      "\"100\",\"1.0\",\"0.5\",\"7.5\"\n\"200\",\"1.0\",\"0.5\",\"2.5\"\n\"300\",\"\",\"\",\"\"\n",
      kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.norms, ElementsAre(7.5, 2.5));
  EXPECT_THAT(kept.steps, ElementsAre(100, 200));
  EXPECT_EQ(kept.facts.norm_name, "run - a - train/grad_norm__MAX");
}

TEST(ReadersTest, ChartOfTwoRunsIsReadByTheFirst) {
  const std::string chart =
      "\"Step\",\"a - grad_norm\",\"a - grad_norm__MIN\",\"a - grad_norm__MAX\",\"b - grad_norm\",\"b - "
      "grad_norm__MIN\",\"b - grad_norm__MAX\"\n\"100\",\"1.0\",\"0.5\",\"7.5\",\"2.0\",\"1.5\",\"3.5\"\n";
  Kept kept;
  read_text(chart, kept);
  EXPECT_THAT(kept.norms, ElementsAre(7.5));
  EXPECT_THAT(kept.facts.notes,
              ::testing::Contains(HasSubstr("It also has b - grad_norm__MAX; --norm NAME")));
  Kept other;
  read_text(chart, other, {.columns = {.norm = "b - grad_norm__MAX"}});
  EXPECT_THAT(other.norms, ElementsAre(3.5));
}

TEST(ReadersTest, CsvWithMarksQuotesAndLineEndsInCells) {
  Kept kept;
  read_text(
      "\xef\xbb\xbf_step;note;\"grad,norm_sq\";loss\r\n1;\"two\nlines; and "
      "\"\"quotes\"\"\";\"9\";1.5\r\n\r\n2;;+16;Infinity\r\n",
      kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 2));
  EXPECT_THAT(kept.norms, ElementsAre(3.0, 4.0)) << "the root of a squared norm";
  EXPECT_TRUE(kept.facts.squared);
  EXPECT_THAT(kept.losses[1], Optional(kInfinity));
}

TEST(ReadersTest, ColumnsByName) {
  const char* const table = "a,grad_norm,b\n1,2,3\n4,5,6\n";
  Kept kept;
  read_text(table, kept, {.columns = {.norm = "b", .loss = "a", .step = "grad_norm"}});
  expect_records(kept, {2, 5}, {3.0, 6.0}, {1.0, 4.0});
  EXPECT_EQ(refusal(table, {.columns = {.norm = "grad_nrm"}}),
            "'log': --norm: it has no 'grad_nrm'; the nearest name in it is 'grad_norm'");
  EXPECT_THAT(refusal("a,b\n1,2\n"),
              HasSubstr("nothing in it looks like a gradient norm; it has a, b; --norm NAME chooses one"));
}

TEST(ReadersTest, WhatNamesSay) {
  Kept clipped;
  read_text("step,train/grad_norm_after_clip,train/grad_norm_before_clip\n1,1,5\n2,1,6\n", clipped);
  EXPECT_THAT(clipped.norms, ElementsAre(5, 6));
  EXPECT_EQ(clipped.facts.clipping, "before clipping, as its name says");
  EXPECT_THAT(clipped.facts.notes, ElementsAre()) << "the norm after clipping is no other one";
  Kept after;
  read_text("step,clipped_grad_norm\n1,1\n", after);
  EXPECT_EQ(after.facts.clipping, "after clipping, as its name says");
  Kept average;
  read_text("step,grad_norm_avg,grad_norm_last\n1,1,5\n2,1,6\n", average);
  EXPECT_EQ(average.facts.norm_name, "grad_norm_last");
  EXPECT_EQ(average.facts.averaging, "");
  Kept mean;
  read_text("step,mean_grad_norm\n1,1\n", mean);
  EXPECT_EQ(mean.facts.averaging, "an average, as its name says");
  Kept several;
  read_text("step,max_grad_norm,actor_grad_norm,critic_grad_norm\n1,9,1,5\n", several);
  EXPECT_THAT(several.norms, ElementsAre(1));
  EXPECT_THAT(
      several.facts.notes,
      ElementsAre("It also has critic_grad_norm; --norm NAME reads another one, or one of another run."));
}

TEST(ReadersTest, JsonLines) {
  Kept kept;
  read_text(
      "{\"step\": 1, \"optim\": {\"grad_norm\": NaN, \"lr\": 1}, \"loss\": 2.5, \"list\": [1, "
      "{\"grad_norm\": 9}]}\n\n"
      "{\"step\": 2, \"optim\": {\"grad_norm\": 1.5}, \"loss\": \"2.25\", \"note\": \"NaN and -Infinity\"}\n"
      "{\"step\": 3, \"optim\": {\"grad_norm\": -Infinity}}\n"
      "{\"mode\": \"val\", \"step\": 1, \"optim\": {\"grad_norm\": 7}}\n"
      "{\"step\": 4, \"optim\": {\"gra",
      kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 2, 3));
  EXPECT_TRUE(std::isnan(kept.norms[0]));
  EXPECT_EQ(kept.norms[1], 1.5);
  EXPECT_EQ(kept.norms[2], -kInfinity);
  EXPECT_EQ(kept.facts.norm_name, "optim.grad_norm");
  EXPECT_THAT(kept.facts.notes, ElementsAre("Line 6, the last, is cut off and was left out."));
  EXPECT_EQ(refusal("{\"grad_norm\": 1}\n{\"grad_norm\": x}\n{}\n"), "'log': line 2 is no JSON object");
}

TEST(ReadersTest, JsonLinesWithStepsOfATotal) {
  Kept kept;
  read_text(
      "{\"loss\": 2.5, \"grad_norm\": 0.5, \"global_step/max_steps\": \"5/4389\"}\n"
      "{\"loss\": 2.25, \"grad_norm\": 0.75, \"global_step/max_steps\": \"10/4389\"}\n",
      kept);
  expect_records(kept, {5, 10}, {0.5, 0.75}, {2.5, 2.25});
  Kept console;
  read_text("{'loss': 2.5, 'grad_norm': 0.5, 'epoch': 0.0, 'global_step/max_steps': '5/3766'}\n", console);
  expect_records(console, {5}, {0.5}, {2.5});
  Kept rllib;
  read_text(
      "{\"info\": {\"learner\": {\"default_policy\": {\"learner_stats\": {\"grad_gnorm\": 40.5, "
      "\"total_loss\": 9.5}}}}, "
      "\"training_iteration\": 3}\n",
      rllib);
  expect_records(rllib, {3}, {40.5}, {9.5});
  Kept composer;
  read_text("step,l2_norm/grad/layer.a,l2_norm/grad/layer.b,l2_norm/grad/global\n1,3,4,5\n", composer);
  EXPECT_THAT(composer.norms, ElementsAre(5.0));
  EXPECT_THAT(composer.facts.tensors, ElementsAre("layer.a", "layer.b"));
}

TEST(ReadersTest, JsonLinesOfMmengineAreMeans) {
  Kept kept;
  read_text(
      "{\"lr\":1e-3,\"data_time\":0.1,\"loss\":2.5,\"grad_norm\":1.5,\"time\":0.2,\"epoch\":1,\"iter\":69,"
      "\"memory\":3060,\"step\":69}\n{\"bbox_mAP\":0.1,\"step\":1}\n",
      kept);
  expect_records(kept, {69}, {1.5}, {2.5});
  EXPECT_THAT(kept.facts.averaging, HasSubstr("10 iterations"));
}

TEST(ReadersTest, JsonLinesOfMmdetectionCountEpochs) {
  Kept kept;
  read_text(
      "{\"env_info\": \"x\"}\n"
      "{\"mode\": \"train\", \"epoch\": 1, \"iter\": 50, \"loss\": 2.0, \"grad_norm\": 1.0}\n"
      "{\"mode\": \"train\", \"epoch\": 1, \"iter\": 100, \"loss\": 2.0, \"grad_norm\": 2.0}\n"
      "{\"mode\": \"val\", \"epoch\": 1, \"iter\": 100, \"bbox_mAP\": 0.1}\n"
      "{\"mode\": \"train\", \"epoch\": 2, \"iter\": 50, \"loss\": 2.0, \"grad_norm\": 3.0}\n",
      kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(50, 100, 150));
  EXPECT_EQ(kept.facts.fell_back, 0);
}

constexpr const char* kTrainerState = R"({
  "best_metric": null,
  "log_history": [
    {"epoch": 0.1, "grad_norm": NaN, "learning_rate": 1e-05, "loss": 2.5, "step": 1},
    {"epoch": 0.2, "grad_norm": 1.5, "learning_rate": 1e-05, "loss": 2.25, "step": 2, "extra": {"a": [1]}},
    {"epoch": 0.2, "eval_loss": 3.5, "eval_runtime": 1.0, "step": 2},
    {"epoch": 0.3, "grad_norm": Infinity, "loss": -2.0, "step": 3},
    {"train_runtime": 5.0, "train_loss": 9.0, "step": 3}
  ],
  "logging_steps": 1, "stateful_callbacks": {"x": {"args": {"grad_norm": 77}}}
})";

TEST(ReadersTest, TrainerStateWithBareNan) {
  Kept kept;
  read_text(kTrainerState, kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 2, 3));
  EXPECT_TRUE(std::isnan(kept.norms[0]));
  EXPECT_EQ(kept.norms[1], 1.5);
  EXPECT_EQ(kept.norms[2], kInfinity);
  EXPECT_THAT(kept.losses, ElementsAre(Optional(2.5), Optional(2.25), Optional(-2.0)));
  const std::string whole = kTrainerState;
  Kept cut;
  read_text(std::string_view(whole).substr(0, whole.find("{\"epoch\": 0.3") + 30), cut);
  ASSERT_TRUE(cut.status.ok()) << cut.status.message();
  EXPECT_THAT(cut.steps, ElementsAre(1, 2));
  EXPECT_THAT(cut.facts.notes, ::testing::Contains(HasSubstr("cut off")));
  EXPECT_THAT(refusal("{\n  \"a\": 1\n}"), HasSubstr("nothing in it looks like a gradient norm"));
  EXPECT_THAT(refusal("{\n  \"log_history\": [,]\n}"), HasSubstr("is no JSON: something unexpected at byte"));
  EXPECT_THAT(refusal("[\n" + std::string(70, '[')), HasSubstr("more than 64 lists"));
  Kept list;
  read_text("[{\"step\": 1, \"grad_norm\": 2}, {\"step\": 2, \"grad_norm\": 3}]", list);
  EXPECT_THAT(list.norms, ElementsAre(2.0, 3.0)) << list.status.message();
}

TEST(ReadersTest, TheStepOfTheTrainerIsThatOfItsRecords) {
  Kept kept;
  read_text(
      "{\n  \"epoch\": 1.0,\n  \"global_step\": 30,\n  \"log_history\": [\n    {\"grad_norm\": 1.5, "
      "\"loss\": 2.5, "
      "\"step\": 10},\n    {\"grad_norm\": 1.75, \"loss\": 2.25, \"step\": 20}\n  ],\n  \"max_steps\": "
      "30\n}\n",
      kept);
  expect_records(kept, {10, 20}, {1.5, 1.75}, {2.5, 2.25});
  EXPECT_EQ(kept.facts.step_name, "step") << "and not the global_step beside the list";
  // A loss beside the norms goes before one that fits as well, such as that of an evaluation.
  Kept table;
  read_text("train/loss,grad_norm,loss,global_step\n,0.5,2.5,1\n9.5,,,1\n,0.75,2.25,2\n", table);
  expect_records(table, {1, 2}, {0.5, 0.75}, {2.5, 2.25});
}

TEST(ReadersTest, StepsThatFallAndLossesBetweenNorms) {
  Kept kept;
  read_text("step,grad_norm,loss\n1,1,\n2,2,\n3,3,\n2,4,\n2,5,\n3,6,\n4,,8\n5,,9\n6,7,\n", kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 2, 3, 2, 3, 6));
  EXPECT_THAT(kept.norms, ElementsAre(1, 2, 3, 4, 6, 7));
  EXPECT_EQ(kept.facts.fell_back, 1);
  EXPECT_EQ(kept.facts.repeated, 1);
  EXPECT_EQ(kept.facts.without_norm, 2);
  EXPECT_THAT(kept.losses.back(), Optional(9.0)) << "the loss logged since the norm before";
}

TEST(ReadersTest, WhatTheCellsOfANotebookPrinted) {
  const std::string notebook = R"({
 "cells": [
  {"cell_type": "markdown", "source": ["{'loss': 9.5, 'grad_norm': 9.5}"]},
  {"cell_type": "code", "source": ["{'loss': 8.5, 'grad_norm': 8.5}"], "outputs": [
    {"output_type": "stream", "text": ["{'loss': 2.5, 'grad_norm': 1.5}\n", "{'loss': 2.25, 'grad_norm': 1.75}\n"]},
    {"output_type": "execute_result", "data": {"text/plain": "{'loss': 2.0, 'grad_norm': 3.5}", "image/png": "x"}}]}
 ],
 "nbformat": 4
})";
  Kept kept;
  read_text(notebook, kept);
  expect_records(kept, {1, 2, 3}, {1.5, 1.75, 3.5}, {2.5, 2.25, 2.0});
  EXPECT_EQ(kept.facts.format, "output of a Jupyter notebook, text log");
  Kept pattern;
  read_text(notebook, pattern, {.pattern = "loss': (?P<norm>[0-9.]+)"});
  EXPECT_THAT(pattern.norms, ElementsAre(2.5, 2.25, 2.0));
  EXPECT_THAT(refusal(R"({"cells": [{"cell_type": "code", "outputs": [{"text": 5}, 7, {"data": []}]}, 3]})"),
              HasSubstr("of what the cells of the notebook printed, no line has a gradient norm"));
  EXPECT_THAT(refusal("{\n\"cells\": [{\"cell_type\": \"code\""), HasSubstr("the notebook"));
}

TEST(ReadersTest, ADownloadFromTensorBoardHoldsOneScalar) {
  Kept kept;
  read_text("Wall time,Step,Value\n1700000000.5,10,1.5\n1700000001.5,20,1.75\n", kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(10, 20));
  EXPECT_THAT(kept.norms, ElementsAre(1.5, 1.75));
  EXPECT_THAT(kept.facts.notes, ElementsAre(HasSubstr("it is taken for the norms")));
  EXPECT_THAT(refusal("Step,Value\n1,2\n"), HasSubstr("nothing in it looks like a gradient norm"));
}

TEST(ReadersTest, DecimalCommasBetweenSemicolons) {
  Kept kept;
  read_text("step;grad_norm;loss\n1;1,5;2,25\n2;1.234,5;2\n3;0,125;1,5e-3\n4;1,234.5;2.5\n", kept);
  expect_records(kept, {1, 2, 3, 4}, {1.5, 1234.5, 0.125, 1234.5}, {2.25, 2.0, 1.5e-3, 2.5});
  Kept commas;
  read_text("step\tgrad_norm\n1\t1,234\n2\t\"2,345.5\"\n", commas);
  EXPECT_THAT(commas.norms, ElementsAre(1234.0, 2345.5)) << "elsewhere they are between groups of three";
}

TEST(ReadersTest, AColumnOfFractionsCountsNoSteps) {
  Kept kept;
  read_text("step,grad_norm\n0.5,1\n1.0,2\n1.5,3\n", kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 2, 3));
  EXPECT_EQ(kept.facts.step_name, "");
  EXPECT_EQ(kept.facts.fell_back, 0);
  Kept other;
  read_text("global_step,iteration,grad_norm\n-1,10,1\n0,20,2\n", other);
  EXPECT_THAT(other.steps, ElementsAre(10, 20)) << "another column does";
  EXPECT_EQ(refusal("step,grad_norm\n0.5,1\n", {.columns = {.step = "step"}}),
            "'log': --step: 'step' counts no steps: it has fractions or negative numbers");
  Kept alone;
  read_text("grad_norm\n1.5\n2.5\n", alone);
  EXPECT_THAT(alone.norms, ElementsAre(1.5, 2.5)) << "a single column";
}

TEST(BadInputTest, WhatHoldsALogIsNamed) {
  EXPECT_EQ(refusal(std::string("PK\x03\x04\0\0\0\0rest", 12)),
            "'log' is a zip archive, expected the log itself: take it out of there first");
  EXPECT_THAT(refusal("\xfd"
                      "7zXZ\1"),
              HasSubstr("is packed with xz"));
  EXPECT_THAT(refusal("\x28\xb5\x2f\xfd rest"), HasSubstr("is packed with zstd"));
  EXPECT_THAT(refusal("PAR1 rest"), HasSubstr("is a Parquet file"));
  std::string tar(512, '\0');
  tar.replace(257, 5, "ustar");
  EXPECT_THAT(refusal(tar), HasSubstr("is a tar archive"));
}

TEST(BadInputTest, OneClearLine) {
  EXPECT_EQ(refusal(""), "'log' is empty");
  EXPECT_EQ(refusal(" \n\n"), "'log' holds nothing but blanks");
  EXPECT_EQ(
      refusal(std::string("\x7f"
                          "ELF\0\0\0\0\0\0\0\0\0\0",
                          14)),
      "'log' holds bytes of a kind that is not known: neither text, nor an event file, nor a W&B run file, "
      "nor a recording of norms");
  EXPECT_EQ(refusal("\xff\xfe"
                    "a"),
            "'log' is text in UTF-16, expected UTF-8");
  EXPECT_THAT(refusal("Dear Sir,\nhow are you?\n"), HasSubstr("nothing in it looks like a gradient norm"));
  EXPECT_THAT(refusal("Hello\nWorld\n"), HasSubstr("no line has a gradient norm in a way that is known"));
  EXPECT_THAT(refusal("step,grad_norm\n"), HasSubstr("nothing in it looks like a gradient norm"));
  EXPECT_THAT(refusal("step,grad_norm\n1,2,3\n"),
              HasSubstr("line 2 has 3 cells, expected 2 as in its header"));
  EXPECT_THAT(refusal("step,grad_norm\n1,\"2\n3,4\n"), HasSubstr("the quote in line 2 does not end"));
  EXPECT_THAT(refusal("step,grad_norm\n" + std::string(kLongestLine + 10, '1')),
              HasSubstr("line 2 is longer than 16.0 MiB"));
  EXPECT_THAT(refusal("step,grad_norm,x\n1,abc,2\n2,def,3\n", {.columns = {.norm = "grad_norm"}}),
              HasSubstr("grad_norm"));
}

}  // namespace
}  // namespace gradstab::lab::inspect
