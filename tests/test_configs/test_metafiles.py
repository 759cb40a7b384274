"""The model index knows every config, and whose figures it gives."""

import pytest
import yaml
from conftest import ROOT

# Nobody has trained on these with this package.
THE_PAPERS_DATA = {'CIFAR-100', 'COCO', 'ImageNet-1k'}


class Strict(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML silently takes the last."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        assert len(set(keys)) == len(keys), f'a key twice in {keys}: {node.start_mark}'
        return super().construct_mapping(node, deep)


def read(path):
    return yaml.load((ROOT / path).read_text(), Strict)


METAFILES = read('model-index.yml')['Import']


def test_every_config_is_in_one_metafile():
    configs = [str(path.relative_to(ROOT)) for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts]
    listed = [model['Config'] for path in METAFILES for model in read(path)['Models']]
    assert sorted(set(configs) - set(listed)) == [], 'configs that no metafile of model-index.yml lists'
    assert sorted(listed) == sorted(configs)


def test_file_names_are_unique_as_mim_finds_configs_by_them():
    names = [path.name for path in (ROOT / 'configs').rglob('*.py') if '_base_' not in path.parts]
    assert sorted(set(names)) == sorted(names)


def test_every_metafile_is_in_the_index():
    assert sorted(METAFILES) == sorted(str(path.relative_to(ROOT)) for path in ROOT.glob('configs/*/metafile.yml'))


def test_names_are_given_once():
    names = [model['Name'] for path in METAFILES for model in read(path)['Models']]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize('path', METAFILES)
def test_collections_and_names_fit(path):
    metafile = read(path)
    collections = {collection['Name']: collection for collection in metafile['Collections']}
    assert all((ROOT / collection['README']).is_file() for collection in collections.values())
    for model in metafile['Models']:
        assert model['In Collection'] in collections
        folder, *_, file = model['Config'].split('/')[1:]
        dataset = {'beyond': 'imagenet', 'rtmdet': 'coco'}.get(folder, folder.replace('_', '-'))
        assert model['Name'] == f"{file.removesuffix('.py')}_{dataset}"


@pytest.mark.parametrize('path', METAFILES)
def test_figures_on_the_papers_data_are_said_to_be_the_papers(path):
    for model in read(path)['Models']:
        if any(result['Dataset'] in THE_PAPERS_DATA for result in model.get('Results', ())):
            assert model['Metadata']['Figures From'] == 'the paper'
