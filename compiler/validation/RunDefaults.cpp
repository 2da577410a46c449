//===- RunDefaults.cpp - what a row leaves open ---------------------------===//

#include "compiler/validation/RunDefaults.h"

#include "compiler/support/CheckedMath.h"

#include <algorithm>

namespace whale::validation {

/// Names of GPUs as people write them. The first line whose words are all in
/// the name counts.
struct Spelling {
  std::initializer_list<std::string_view> words;
  std::string_view type;
};
static const Spelling spellings[] = {
    {{"gb300"}, "GB300-NVL72"},
    {{"gb200"}, "GB200-NVL72"},
    {{"gh200"}, "GH200-96"},
    {{"b300"}, "B300-SXM-288"},
    {{"b200"}, "B200-SXM-180"},
    {{"h200", "nvl"}, "H200-NVL"},
    {{"h200"}, "H200-SXM-141"},
    // As those without the 8, but for links of 400 GB/s.
    {{"h800"}, "H100-SXM-80"},
    {{"a800"}, "A100-SXM-80"},
    {{"h100", "pci"}, "H100-PCIe-80"},
    {{"h100", "96"}, "H100-SXM-96"},
    {{"h100"}, "H100-SXM-80"},
    {{"a100", "pci", "40"}, "A100-PCIe-40"},
    {{"a100", "pci"}, "A100-PCIe-80"},
    {{"a100", "40"}, "A100-SXM-40"},
    {{"a100"}, "A100-SXM-80"},
    {{"v100", "pci", "32"}, "V100-PCIe-32"},
    {{"v100", "pci"}, "V100-PCIe-16"},
    {{"v100", "32"}, "V100-SXM-32"},
    {{"v100"}, "V100-SXM-16"},
    {{"p100"}, "P100-SXM-16"},
    {{"k80"}, "K80"},
    {{"mi300x"}, "MI300X"},
    {{"mi325x"}, "MI325X"},
    {{"mi350x"}, "MI350X"},
    {{"mi355x"}, "MI355X"},
    {{"pro6000"}, "RTXPRO6000"},
    {{"6000ada"}, "RTX6000Ada"},
    {{"a6000"}, "RTXA6000"},
    {{"a5000"}, "RTXA5000"},
    {{"rtx8000"}, "RTX8000"},
    {{"4090"}, "RTX4090"},
    {{"3090"}, "RTX3090"},
    {{"l40s"}, "L40S"},
    {{"l40"}, "L40"},
    {{"l4"}, "L4"},
    {{"a30"}, "A30"},
    {{"a10"}, "A10"},
    {{"t4"}, "T4"},
};

/// Letters and digits only: "A100-SXM4 80GB" is "a100sxm480gb".
static std::string lowerAlphanumeric(std::string_view text) {
  std::string plain;
  for (char c : lowerCase(text))
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
      plain += c;
  return plain;
}

/// The catalogue's name of a GPU; the name itself where it has none.
static std::string usualName(const std::string &gpuType) {
  std::string plain = lowerAlphanumeric(gpuType);
  for (const Spelling &one : spellings)
    if (std::all_of(
            one.words.begin(), one.words.end(),
            [&](std::string_view w) { return plain.find(w) != plain.npos; }))
      return std::string(one.type);
  return gpuType;
}

/// The word that the table's own rows have for a family: "GPT-3" is "gpt".
static std::string usualFamily(const std::string &family) {
  std::string plain = lowerAlphanumeric(family);
  if (plain.find("lora") != plain.npos)
    return "llama-lora";
  if (startsWithOneOf(plain, {"gpt", "megatrongpt", "transformer"}))
    return "gpt";
  if (plain.starts_with("resnet"))
    return plain;
  return plain.starts_with("bert") ? "bert" : lowerCase(family);
}

/// "full", "selective", or as it is written.
static std::string usualRecompute(const std::string &recompute) {
  std::string plain = lowerAlphanumeric(recompute);
  auto has = [&](std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(), [&](std::string_view w) {
      return plain.find(w) != plain.npos;
    });
  };
  if (startsWithOneOf(plain, {"no", "off", "false", "disabled", "partial"}))
    return recompute;
  if (has({"select", "coreattn", "sac"}))
    return "selective";
  return has({"full", "all", "uniform", "block", "checkpoint", "yes", "true"})
             ? "full"
             : recompute;
}

static int64_t usualGpusPerNode(const MeasuredRun &run) {
  if (run.gpuType.starts_with("GH"))
    return 1;
  return run.gpuType.starts_with("GB") ? 4 : 8;
}

/// The width of layers: of those that are not gated (GPT, Nemotron) 4 times the
/// hidden size; of Llama's, which are, 3.5 times it in models with groups of
/// queries, else 8/3 in steps of 256.
static int64_t usualWidth(const MeasuredRun &run) {
  if (!run.experts && startsWithOneOf(run.family, {"gpt", "nemotron"}))
    return saturatingMultiply(run.hidden, int64_t(4));
  if (run.experts || !startsWithOneOf(run.family, {"llama", "mistral", "qwen"}))
    return 0;
  if (run.keyHeads && run.keyHeads < run.heads)
    return saturatingMultiply(run.hidden, int64_t(7)) / 2;
  return ceilDivide(saturatingMultiply(run.hidden, int64_t(8)), 3 * 256) * 256;
}

/// PaxML's configurations of GPT keep the results of products in the one of 5B
/// parameters, and in those of dgxc-benchmarking, elsewhere nothing
/// (paxml/contrib/gpu/scripts_gpu/configs.py, CHECKPOINT_POLICY); attention is
/// a call of its own, and repeated.
static std::string writtenRecompute(const MeasuredRun &run) {
  bool isOpen = run.recompute.empty() && run.family == "gpt";
  if (!isOpen || !run.says("PaxML"))
    return run.recompute;
  return run.says({"5B", "dgxc-benchmarking"}) ? "selective" : "full";
}

/// GPUs without matrix units compute in float32; V100 and Turing know float16
/// only; MLPerf's submissions use 8 bits where the GPU has them.
static std::string usualPrecision(const MeasuredRun &run) {
  if (startsWithOneOf(run.gpuType, {"K80", "P100"}))
    return "fp32";
  if (startsWithOneOf(run.gpuType, {"V100", "T4", "RTX8000"}))
    return "fp16";
  bool hasNarrow = startsWithOneOf(
      run.gpuType, {"H100", "H200", "GH200", "B200", "B300", "GB"});
  return hasNarrow && run.says("MLPerf") ? "fp8" : "bf16";
}

/// The printed number is less than one rank each in tables that mix nodes and
/// GPUs.
static int64_t leastGpus(const MeasuredRun &run) {
  int64_t gpus = 1;
  for (int64_t degree : {run.tensor, run.pipeline, run.context})
    gpus = saturatingMultiply(gpus, std::max<int64_t>(degree, 1));
  return gpus;
}

/// Where there are more replicas than samples, the rest cut the sequence.
static int64_t leastContext(const MeasuredRun &run) {
  int64_t replicas = run.gpus / leastGpus(run);
  int64_t context = std::max<int64_t>(run.context, 1);
  if (run.globalBatch < 1 || replicas <= run.globalBatch ||
      replicas % run.globalBatch != 0)
    return context;
  return saturatingMultiply(context, replicas / run.globalBatch);
}

/// Samples on a GPU where no batch is given: throughputs of small models are
/// printed for batches that fill the GPU.
static int64_t usualBatch(const MeasuredRun &run) {
  bool isNarrow = run.precision != "fp32" && run.precision != "tf32";
  if (run.family.starts_with("resnet"))
    return isNarrow ? 256 : 128;
  return run.family == "bert" ? 64 : 0;
}

MeasuredRun withDefaults(MeasuredRun run) {
  run.gpuType = usualName(run.gpuType);
  // A model's name may stand there: phrases are looked for in it too, as one
  // word, so that "ssd300-resnet50" is no "ResNet-50".
  run.source += " " + lowerAlphanumeric(run.family);
  run.family = usualFamily(run.family);
  run.recompute = usualRecompute(writtenRecompute(run));
  if (run.gpusPerNode == 0)
    run.gpusPerNode = usualGpusPerNode(run);
  if (run.ffn == 0)
    run.ffn = usualWidth(run);
  if (run.precision.empty())
    run.precision = usualPrecision(run);
  if (run.gpus > 0)
    run.gpus = std::max(run.gpus, leastGpus(run));
  if (run.globalBatch == 0) {
    if (run.microBatch == 0)
      run.microBatch = usualBatch(run);
    run.globalBatch =
        saturatingMultiply(run.microBatch, run.gpus / leastGpus(run));
  }
  run.context = leastContext(run);
  // Of sequences cut at 512 tokens the mean length is about half of that.
  if (run.says({"padding removed", "unpadded", "without padding"}))
    run.sequence = (run.sequence + 1) / 2;
  // LDDL sorts samples by length and pads each to a multiple of 64: with it a
  // step takes three quarters of the time (NeMo 23.05's BERT tables).
  else if (run.says("LDDL"))
    run.sequence = ceilDivide(run.sequence * 3, 4);
  // torchtitan gathers the parameters of a stage once where there are several
  // (`reshard_after_forward` is off with pipelines).
  if (run.says("torchtitan") && run.pipeline > 1 && run.zero == 3)
    run.zero = 2;
  return run;
}

} // namespace whale::validation
