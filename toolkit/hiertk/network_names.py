"""The names of torchvision's networks that HierTK cuts: listing them need not wait for torch."""

RESIDUAL = ("resnet18", "resnet34", "resnet50")
VGG = ("vgg11", "vgg11_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn")
OTHERS = (
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "shufflenet_v2_x1_0",
    "regnet_y_400mf",
    "convnext_tiny",
)
NETWORK_NAMES = (*RESIDUAL, *VGG, *OTHERS)
