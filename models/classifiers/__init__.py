"""FCN, k-NN and linear SVM behind one role: bottlenecks in, each photo's best labels out."""
