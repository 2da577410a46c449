//===- Interpreter.h - runs a model on one device, in f64 -------*- C++ -*-===//
//
// The oracle of everything that is compiled: the forward part of a model
// (instances, chains, scans), the backward parts of a differentiated one, and a
// flat step (passes/plan). Shares no code with passes, kernels or the runtime
// but the random numbers of runtime/format/Random.h.
//
// Paths: an instance `name` (or `name.i` of a chain or scan step `name.t<i>`)
// adds a segment. Shared instances keep their variables under the segment
// `shared_as`, or their name. The key of a dropout is the path of its instance
// and its `key`, or its name where it has none.
//
//===----------------------------------------------------------------------===//

#ifndef WHALE_TEST_REFERENCE_INTERPRETER_H
#define WHALE_TEST_REFERENCE_INTERPRETER_H

#include "test/reference/Evaluate.h"

#include <map>
#include <memory>

namespace reference {

using TensorMap = std::map<std::string, Tensor>;

/// What one run gives.
struct StepResult {
  /// By path: weight * sum / count.
  std::map<std::string, double> losses;
  /// Gradients of the summed losses by variable path; empty without a backward
  /// part.
  TensorMap gradients;
  /// What `whale.assign` wrote, by variable path.
  TensorMap assigned;

  double totalLoss() const;
};

class Interpreter {
public:
  /// `model` must outlive this.
  explicit Interpreter(whale::ModelOp model);
  ~Interpreter();

  /// Inputs of the step by name, at the shape of the global batch.
  TensorMap inputs;
  /// Variables by path. One that is read and missing is added with its initial
  /// value: Random.h with `seed`, step 0, path and element index.
  TensorMap variables;
  uint64_t seed = 0;
  int64_t step = 0;

  /// Runs module `name`, its backward part too where it has one. Errors (a
  /// missing input, an op that is not known) are reported at their op.
  llvm::FailureOr<StepResult> run(llvm::StringRef name = "main");
  /// As run, then the variables take what was assigned and the step counts on.
  llvm::FailureOr<StepResult> train(llvm::StringRef name = "step");

  /// The root module of the model.
  whale::ModuleDefOp main() { return model.getMain(); }

  /// The initial value of a variable.
  static Tensor initialValue(whale::VariableOp variable, llvm::StringRef path,
                             uint64_t seed);

private:
  struct Frame;
  using FramePtr = std::unique_ptr<Frame>;

  mlir::LogicalResult enter(Frame &frame, whale::ModuleDefOp module,
                            const Tensors &arguments);
  mlir::LogicalResult execute(Frame &frame, mlir::Operation *op);
  mlir::LogicalResult executeInstance(Frame &frame, whale::InstanceOp op);
  mlir::LogicalResult executeScan(Frame &frame, whale::ScanOp op);
  mlir::LogicalResult executeVariable(Frame &frame, whale::VariableOp op);
  mlir::LogicalResult executeInput(Frame &frame, whale::InputOp op);
  mlir::LogicalResult executeLoss(Frame &frame, whale::LossOp op);
  mlir::LogicalResult executeCompute(Frame &frame, mlir::Operation *op);
  mlir::LogicalResult executeBackward(Frame &frame, whale::InstanceBackwardOp);
  /// Runs the backward part with gradients of the real results; gives those of
  /// the arguments by index.
  mlir::LogicalResult leave(Frame &frame, const Tensors &gradients,
                            std::map<int64_t, Tensor> &arguments);
  void addGradient(Frame &frame, whale::GradientOp op);

  whale::ModuleDefOp calleeOf(llvm::StringRef name);

  whale::ModelOp model;
  mlir::SymbolTable symbols;
  StepResult result;
};

} // namespace reference

#endif // WHALE_TEST_REFERENCE_INTERPRETER_H
