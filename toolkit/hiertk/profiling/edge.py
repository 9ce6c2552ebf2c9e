"""The edge role: every cut exported, and measured by what `hiertk-edge profile` runs."""

from dataclasses import replace

from hiertk_edge.profiling import MAX_IMAGES_NAME, ProfileSettings, profile_edge
from hiertk_edge.profiling.work_folder import work_folder
from hiertk_protocol.profile import EdgeProfile

from hiertk.data import write_image_folder
from hiertk.export import export_cuts
from hiertk.profiling.settings import RoleSettings, Tell, spread

_IMAGES = 256  # at least so many, and four batches


def profile_edge_role(settings: RoleSettings, tell: Tell) -> EdgeProfile:
    """Measure the edge partition and its early exit on this machine's edge engine.

    Cuts that the engine cannot train are left out, and told of. Raises HiertkError.
    """
    with work_folder(settings.folder) as folder:
        chosen = spread(settings.images, max(_IMAGES, 4 * settings.export.batch_size))
        write_image_folder(settings.images, chosen, folder / "images")
        export = replace(settings.export, out=folder / "cuts")
        cuts = export_cuts(export, settings.splits, lambda what: tell(f"exporting: {what}"))
        for split, reason in cuts.left_out.items():
            tell(f"separation point {split} is left out: {reason}")
        measured = profile_edge(
            ProfileSettings(
                bundle=cuts.folder,
                folder=folder,
                data=f"folder:{folder / 'images'}",
                batch_size=settings.export.batch_size,
                threads=settings.threads,
                seconds=settings.seconds,
            ),
            tell,
        )
    return measured.model_copy(update={"images": settings.data[:MAX_IMAGES_NAME]})
