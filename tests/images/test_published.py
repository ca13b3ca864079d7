"""Small data in the layouts in which CelebA, FairFace, UTKFace and Waterbirds were published."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from deeptroubles import load_images
from deeptroubles.errors import ImagesError, UsageError


def pictures(folder, *names):
    for i, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 5, 3), 20 * i, dtype=np.uint8)).save(folder / name)


def celeba(folder, rows=("000001.jpg -1  1  1", "000002.jpg  1 -1 -1", "000003.jpg  1  1 -1")):
    pictures(folder, *(f"img_align_celeba/00000{i}.jpg" for i in (1, 2, 3)))
    (folder / "list_attr_celeba.txt").write_text("3\nBlond_Hair Male Young \n" + "\n".join(rows) + "\n")


def test_celeba(tmp_path):
    celeba(tmp_path)
    images = load_images(tmp_path)
    assert images.table["path"].tolist()[0] == "img_align_celeba/000001.jpg"
    assert images.table["Male"].tolist() == [1, 0, 1]
    assert images.labels == [None] * 3
    assert "--label" in images.notes[0]
    assert images[1].size == (5, 6)
    assert load_images(tmp_path, label="Blond_Hair").labels == ["0", "1", "1"]
    with pytest.raises(UsageError, match=r"no column 'Blond' to be the label .*Did you mean Blond_Hair\?"):
        load_images(tmp_path, label="Blond")


def test_celeba_with_its_partition_gives_the_test_part(tmp_path):
    celeba(tmp_path)
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n")
    images = load_images(tmp_path)
    assert images.table["path"].tolist() == ["img_align_celeba/000003.jpg"]
    assert "2 other images" in images.notes[1]


@pytest.mark.parametrize("rows", [("000001.jpg 1 7 1",), ()])
def test_a_damaged_attribute_list_is_told(tmp_path, rows):
    celeba(tmp_path, rows)
    with pytest.raises(ImagesError, match="list_attr_celeba"):
        load_images(tmp_path)


def test_waterbirds(tmp_path):
    pictures(tmp_path, *(f"001.Albatross/{i}.jpg" for i in range(4)))
    (tmp_path / "metadata.csv").write_text(
        "img_id,img_filename,y,split,place,place_filename\n"
        "1,001.Albatross/0.jpg,1,0,1,a.jpg\n2,001.Albatross/1.jpg,1,2,0,b.jpg\n"
        "3,001.Albatross/2.jpg,0,2,0,c.jpg\n4,001.Albatross/3.jpg,0,1,1,d.jpg\n"
    )
    images = load_images(tmp_path)
    assert images.labels == ["waterbird", "landbird"]
    assert images.table["place"].tolist() == ["land", "land"]
    assert np.asarray(images[1])[0, 0, 0] == pytest.approx(40, abs=3)


def test_a_metadata_file_of_something_else_is_passed_over(tmp_path):
    pictures(tmp_path, "cat/0.png", "dog/0.png")
    (tmp_path / "metadata.csv").write_text("name,size\na,1\n")
    assert load_images(tmp_path).labels == ["cat", "dog"]


def test_fairface(tmp_path):
    pictures(tmp_path, "val/1.jpg", "val/2.jpg", "train/1.jpg")
    head = "file,age,gender,race,service_test\n"
    (tmp_path / "fairface_label_val.csv").write_text(
        f"{head}val/1.jpg,3-9,Male,East Asian,False\nval/2.jpg,50-59,Female,Black,True\n"
    )
    images = load_images(tmp_path)
    assert images.table["race"].tolist() == ["East Asian", "Black"]
    assert len(images.notes) == 1
    (tmp_path / "fairface_label_train.csv").write_text(f"{head}train/1.jpg,0-2,Male,White,True\n")
    both = load_images(tmp_path, label="gender")
    assert both.labels == ["Male", "Female"]
    assert "val was used" in both.notes[1]


def test_utkface(tmp_path):
    names = ["26_1_2_20170116184024662.jpg.chip.jpg", "80_0_0_20170111223013577.jpg", "61_1_20170109142408075.jpg"]
    pictures(tmp_path, *names)
    images = load_images(tmp_path, label="gender")
    table = images.table.set_index("path").loc[names]
    assert table["age"].tolist() == [26, 80, 61]
    assert table["label"].tolist() == ["female", "male", "female"]
    assert table["race"].tolist()[:2] == ["Asian", "White"]
    assert table["race"].isna().tolist() == [False, False, True]
    assert "1 file name says less" in images.notes[1]
    assert len(images.fingerprint()) == 32
