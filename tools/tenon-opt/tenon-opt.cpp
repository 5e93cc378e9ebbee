//===- tenon-opt.cpp - every pass and pipeline of tenon, on textual IR ----===//
#include "tenon/InitAll.h"
#include "mlir/Tools/mlir-opt/MlirOptMain.h"

int main(int argc, char **argv) {
  mlir::DialectRegistry registry;
  tenon::registerAllDialects(registry);
  tenon::registerAllPasses();
  return mlir::asMainReturnCode(mlir::MlirOptMain(argc, argv, "tenon's optimizer driver\n", registry));
}
