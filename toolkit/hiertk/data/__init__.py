"""Labelled images by name: torchvision's data sets, folders, and a small real set shipped here."""

from hiertk.data.folders import write_image_folder
from hiertk.data.image_set import ImageSet
from hiertk.data.sets import DATA_SETS, Part, load

__all__ = ["DATA_SETS", "ImageSet", "Part", "load", "write_image_folder"]
